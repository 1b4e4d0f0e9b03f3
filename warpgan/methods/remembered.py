"""A method that inverts no photo twice: for harnesses that come back to a photo after minutes."""

from torch import Tensor

from warpgan.methods.base import Inversion, Method
from warpgan.methods.true_latent import photo_key


class Remembered(Method):
    """Another method, under its own name.

    It takes photos one by one and keeps each inversion until it is asked for again: a generator a
    photo is 15 MB at 128 px.
    """

    one_at_a_time = True

    def __init__(self, method: Method) -> None:
        """Stand in for a method.

        Args:
            method: whose inversions are kept.
        """
        self.method = method
        self.name = method.name
        self.image_size = method.image_size
        self.files = method.files
        self.device = method.device
        self.floor = method.floor
        self.note = method.note
        self._kept: dict[tuple[str, tuple[float, ...]], Inversion] = {}

    def invert(self, photo: Tensor, camera: Tensor) -> Inversion:
        """Invert photos ``[B, 3, S, S]``; one alone is kept, or given out for the second time."""
        if len(photo) != 1:
            return self.method.invert(photo, camera)
        key = (photo_key(photo[0]), tuple(camera[0].tolist()))
        kept = self._kept.pop(key, None)
        if kept is None:
            kept = self._kept[key] = self.method.invert(photo, camera)
        return kept
