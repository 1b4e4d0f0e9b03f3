"""Methods that warp the photo's own pixels: warp only, warp + fill (row B), WarpGAN (row G)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from warpgan.methods.base import Inversion, Method, Stopwatch, Views
from warpgan.methods.true_latent import photo_key
from warpgan.pipeline import METHODS, Face, WarpGAN
from warpgan.warp import ray_length_from_depth_z


class FaceInversion(Inversion):
    """A batch of inverted photos; planes and source depth were computed once."""

    def __init__(self, face: Face, *, view: str, seconds: float) -> None:
        """Keep the faces and how to look at them.

        Args:
            face: of the batch.
            view: a method of `Face.views`.
            seconds: what the inversion took.
        """
        self.face = face
        self.view = view
        self.seconds = seconds

    def render(self, cameras: Tensor) -> Views:
        """Render from cameras ``[B, V, 25]``; the depth is that of the generator's render."""
        with Stopwatch().running(cameras.device) as watch:
            drawn = self.face.views(cameras, self.view)
        return Views(image=drawn.image, depth_z=drawn.depth_z, seconds=watch.seconds)


class PhotoWarp(Method):
    """The pipeline, behind the interface of the harness."""

    def __init__(
        self,
        model: WarpGAN,
        *,
        view: str,
        name: str,
        files: Sequence[Path] = (),
        depths: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Take the pipeline.

        Args:
            model: in eval mode.
            view: ``warp``, ``fill`` or ``warpgan``; also ``inversion``.
            name: how tables call the method.
            files: what the model was read from.
            depths: true ``depth_z`` ``[1, S, S]`` of every photo by `photo_key`, used instead of
                the generator's: a ceiling that shows what its depth loses.

        Raises:
            ValueError: if the view is not known, or needs SVINet and there is none.
        """
        if view not in METHODS:
            raise ValueError(f"view {view!r} is not known; choose one of {', '.join(METHODS)}")
        if view == "warpgan" and model.svinet is None:
            raise ValueError(f"method {name} needs SVINet: give its weights as svinet=...")
        self.model = model
        self.view = view
        self.name = name
        self.files = tuple(files)
        self.depths = None if depths is None else dict(depths)
        self.image_size = model.generator.img_resolution
        self.device = model.generator.mean_latent().device

    def invert(self, photo: Tensor, camera: Tensor) -> FaceInversion:
        """Invert photos ``[B, 3, S, S]`` with labels ``[B, 25]``.

        Raises:
            KeyError: with true depth, for a photo whose depth is not known.
        """
        ray_length = None if self.depths is None else self._true_ray_length(photo, camera)
        with torch.no_grad(), Stopwatch().running(photo.device) as watch:
            face = self.model.invert(photo, camera, ray_length=ray_length)
        return FaceInversion(face, view=self.view, seconds=watch.seconds)

    def _true_ray_length(self, photo: Tensor, camera: Tensor) -> Tensor:
        keys = [photo_key(image) for image in photo]
        unknown = [row for row, key in enumerate(keys) if key not in self.depths]
        if unknown:
            raise KeyError(
                f"photo {unknown[0]} of the batch has no known depth: {self.name} works only on "
                "the portraits data set that its table was made for, unresized"
            )
        depth_z = torch.stack([self.depths[key] for key in keys]).to(photo)
        return ray_length_from_depth_z(depth_z, camera)
