"""A method that corrects the camera of a photo before it inverts it: ``evaluate.camera_refine``."""

import torch
from torch import Tensor

from warpgan import weights
from warpgan.camera_fit import FEATURES
from warpgan.camera_refinement import RefinementOptions, refine_photos
from warpgan.methods.base import Inversion, Method, Stopwatch
from warpgan.methods.build import Models
from warpgan.methods.true_latent import photo_key


class CameraRefiner:
    """Corrects cameras with the evaluation's encoder and generator, each photo's once.

    Attributes:
        steps: of each refinement.
    """

    def __init__(self, models: Models, *, steps: int) -> None:
        """Take the networks.

        Args:
            models: of the evaluation.
            steps: of each refinement, at least 1.

        Raises:
            ValueError: without an encoder, or for steps that make no sense.
        """
        if models.encoder is None:
            raise ValueError("evaluate.camera_refine needs an encoder: give evaluate.encoder")
        self.steps = steps
        self._models = models
        self._options = RefinementOptions(steps=steps)
        self._found: dict[tuple[str, tuple[float, ...]], tuple[Tensor, float]] = {}

    def refined(self, photos: Tensor, cameras: Tensor) -> tuple[Tensor, float]:
        """Correct the cameras ``[B, 25]`` of photos ``[B, 3, S, S]``.

        Returns:
            Labels ``[B, 25]``, and the seconds that it took when each was found.
        """
        found = []
        for photo, camera in zip(photos.split(1), cameras.split(1), strict=True):
            key = (photo_key(photo[0]), tuple(camera[0].tolist()))
            if key not in self._found:
                with Stopwatch().running(photo.device) as watch:
                    better = refine_photos(
                        self._models.generator,
                        self._models.encoder,
                        photo,
                        camera,
                        options=self._options,
                    ).cameras
                self._found[key] = better, watch.seconds
            found.append(self._found[key])
        labels, seconds = zip(*found, strict=True)
        return torch.cat(labels), sum(seconds)


class WithRefinedCamera(Method):
    """Another method, under its own name, that is told the corrected cameras of its photos.

    The cameras that views are rendered from stay as they are.
    """

    def __init__(self, method: Method, refiner: CameraRefiner) -> None:
        """Stand in for a method.

        Args:
            method: what the corrected cameras are given to.
            refiner: shared by all methods.
        """
        self.method = method
        self.refiner = refiner
        self.name = method.name
        self.image_size = method.image_size
        self.files = tuple(dict.fromkeys((*method.files, weights.resolve(FEATURES))))
        self.device = method.device
        self.one_at_a_time = method.one_at_a_time
        self.floor = method.floor
        said = f"source cameras refined in up to {refiner.steps} steps"
        self.note = f"{method.note}; {said}" if method.note else said

    def invert(self, photo: Tensor, camera: Tensor) -> Inversion:
        """Invert photos ``[B, 3, S, S]`` after correcting ``camera`` [B, 25].

        The correction's time counts for every method, though it is made once.
        """
        camera, seconds = self.refiner.refined(photo, camera)
        inversion = self.method.invert(photo, camera)
        inversion.seconds += seconds
        return inversion
