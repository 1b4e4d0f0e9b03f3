"""A photo's views as one lasting generator state, and edits of it by latent directions."""

from warpgan.lifting.lifted_face import LiftedFace as LiftedFace
from warpgan.lifting.lifted_face import load_lifted as load_lifted
from warpgan.lifting.optimise import lift as lift
from warpgan.lifting.settings import LiftSettings as LiftSettings
