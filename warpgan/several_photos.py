"""Several photos of one person seen from other cameras.

```
each photo -> encoder -> ws, planes, ray length of its own view        once, `invert_several`
camera -> render of the photo nearest in yaw, for fill and SVINet
       -> warp each photo and its mirror image -> blend -> fill -> SVINet      each view
```
How photos are blended is `warpgan.photo_blending`. With one photo the bytes are those of
`warpgan.pipeline.Face`.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eg3d.generator import Rendering
from warpgan.cameras import mirror_label
from warpgan.initial_fill import Branch, both_branches, initial_fill
from warpgan.novel_views import (
    PIXELS_AT_ONCE,
    NovelViews,
    check_question,
    each_view,
    enlarged_depth_z,
    joined,
    painted_views,
    rendered_ray_length,
)
from warpgan.photo_blending import (
    BlendOptions,
    blended,
    camera_angles,
    colour_gain,
    nearest_photos,
    with_gain,
)

if TYPE_CHECKING:
    from warpgan.pipeline import Face

MOST_PHOTOS = 16
MIRRORED = ("nearest", "combined")


class SeveralPhotos:
    """Photos of one person, each inverted on its own, ready to be seen from other cameras.

    Attributes:
        faces: one a photo, of batch 1.
        photo: ``[1, 3, S, S]`` the first photo.
        camera: ``[1, 25]`` its camera.
        ray_length: ``[1, 1, R, R]`` of the first photo.
        gains: ``[P, 3]`` factors that bring each photo's colours to the first's; 1 for the first.
        photos: P of ``[1, 3, S, S]``, colours matched.
    """

    def __init__(
        self,
        faces: "Sequence[Face]",
        *,
        match_colours: bool = True,
        blend: BlendOptions | None = None,
        mirrored: str = "combined",
    ) -> None:
        """Take what `WarpGAN.invert_several` inverted.

        Args:
            faces: one a photo, of batch 1 and of one model; the first decides ties.
            match_colours: bring the others' exposure and tint to the first photo's.
            blend: feather and softness; the measured ones if None.
            mirrored: SVINet's second branch: the mirror image of the ``nearest`` photo, or of all,
                ``combined``.

        Raises:
            ValueError: without photos, for too many, or another word for ``mirrored``.
        """
        _check_count(len(faces))
        if mirrored not in MIRRORED:
            raise ValueError(
                f"mirrored={mirrored!r} is not known; choose one of {', '.join(MIRRORED)}"
            )
        self.faces = tuple(faces)
        self.model = self.faces[0].model
        self.blend = blend or BlendOptions()
        self.mirrored = mirrored
        first = self.faces[0]
        self.photo, self.camera, self.ray_length = first.photo, first.camera, first.ray_length
        self._cameras = torch.cat([face.camera for face in self.faces])
        self.gains = torch.ones(len(self.faces), 3, device=first.photo.device)
        if match_colours:
            for place, face in enumerate(self.faces[1:], start=1):
                self.gains[place] = self._gain(face)
        self.photos = [
            face.photo if place == 0 else with_gain(face.photo, gain)
            for place, (face, gain) in enumerate(zip(self.faces, self.gains, strict=True))
        ]

    def __len__(self) -> int:
        """How many photos."""
        return len(self.faces)

    @torch.inference_mode()
    def views(
        self, cameras: Tensor, method: str = "warpgan", *, chunk: int | None = None
    ) -> NovelViews:
        """Look at the person from cameras ``[1, V, 25]``.

        Args:
            cameras: labels.
            method: ``inversion``, ``warp``, ``fill`` or ``warpgan``.
            chunk: views at once; None chooses. Memory depends on it, the result does not.

        Returns:
            Views of one item. ``render`` and ``depth_z`` are those of the photo nearest in yaw,
            ``warped`` and ``hole`` those of all photos.

        Raises:
            ValueError: as `warpgan.pipeline.Face.views`.
        """
        return joined(list(self.stream(cameras, method, chunk=chunk)), dim=1)

    @torch.inference_mode()
    def stream(
        self, cameras: Tensor, method: str = "warpgan", *, chunk: int | None = None
    ) -> Iterator[NovelViews]:
        """The same as `views`, a part at a time and in order."""
        check_question(cameras, method, batch=1, svinet=self.model.svinet, chunk=chunk)
        pixels = self.model.generator.img_resolution**2 * len(self.faces)
        at_once = chunk or max(1, PIXELS_AT_ONCE // pixels)
        start = 0
        for nearest, run in groupby(self.nearest(cameras[0])):
            stop = start + len(list(run))
            for seen in cameras[:, start:stop].split(at_once, dim=1):
                yield self._some_views(nearest, seen, method)
            start = stop

    def nearest(self, cameras: Tensor) -> list[int]:
        """Which photo gives latent, render and fill to each of the views ``[V, 25]``."""
        if len(self.faces) == 1:
            return [0] * len(cameras)
        return nearest_photos(cameras.cpu(), self._cameras.cpu())

    def _some_views(self, nearest: int, cameras: Tensor, method: str) -> NovelViews:
        face, count = self.faces[nearest], cameras.shape[1]
        drawn = self.model.generator.render(face.planes, face.ws, cameras)
        depth_z = enlarged_depth_z(drawn.ray_length, cameras, size=drawn.image.shape[-1])
        render = drawn.image if not nearest else with_gain(drawn.image, self.gains[nearest])
        if method == "inversion":
            return NovelViews(render.clamp(-1, 1), depth_z, render)
        symmetry = method == "warpgan" and self.model.svinet.symmetry
        main, mirrored = self._branches(
            nearest, cameras[0], drawn=drawn, render=render[0], symmetry=symmetry
        )
        return painted_views(
            main,
            mirrored,
            render=render,
            depth_z=depth_z,
            method=method,
            svinet=self.model.svinet,
            ws=each_view(face.ws, count),
        )

    def _branches(
        self, nearest: int, cameras: Tensor, *, drawn: Rendering, render: Tensor, symmetry: bool
    ) -> tuple[Branch, Branch | None]:
        """Both branches of views ``[V, 25]``, blended over the photos."""
        own, mirrored = [], []
        for place, face in enumerate(self.faces):
            main, other = both_branches(
                each_view(self.photos[place], len(cameras)),
                each_view(face.ray_length, len(cameras)),
                each_view(face.camera, len(cameras)),
                target=cameras,
                render=render,
                target_ray_length=(
                    drawn.ray_length[0] if place == nearest else self._target_length(face, cameras)
                ),
                options=self.model.options,
                symmetry=symmetry and (place == nearest or self.mirrored == "combined"),
            )
            own.append(main)
            if other is not None:
                mirrored.append(other)
        angles = camera_angles(cameras, self._cameras)
        main = blended(own, angles, nearest=nearest, options=self.blend)
        if not mirrored:
            return main, None
        angles = camera_angles(cameras, mirror_label(self._cameras))
        place = nearest if len(mirrored) > 1 else 0
        return main, blended(mirrored, angles, nearest=place, options=self.blend)

    def _target_length(self, face: "Face", cameras: Tensor) -> Tensor | None:
        """Ray length ``[V, 1, R, R]`` of a photo's own planes, to judge what it shows."""
        if not self.model.options.visibility:
            return None
        count = len(cameras)
        return rendered_ray_length(
            self.model.generator,
            each_view(face.planes, count),
            each_view(face.ws, count),
            camera=cameras,
        )

    @torch.inference_mode()
    def _gain(self, face: "Face") -> Tensor:
        first = self.faces[0]
        branch = initial_fill(
            face.photo,
            face.ray_length,
            face.camera,
            target=first.camera,
            render=face.photo,
            options=self.model.options,
            target_ray_length=self._target_length(face, first.camera),
        )
        size = face.photo.shape[-1]
        depth_z = enlarged_depth_z(first.ray_length[:, None], first.camera[:, None], size=size)
        return colour_gain(
            branch.warped[0],
            first.photo[0],
            visible=1 - branch.hole[0],
            reference_depth_z=depth_z[0, 0],
        )


def check_photos(photos: Tensor, cameras: Tensor, *, ray_length: Tensor | None = None) -> None:
    """Check how many photos of one person there are, before any is inverted.

    Args:
        photos: ``[P, 3, S, S]`` if right.
        cameras: labels, ``[P, 25]`` if right.
        ray_length: ``[P, 1, R, R]`` if right; None if it is not known.

    Raises:
        ValueError: without photos, for more than `MOST_PHOTOS`, or another number of cameras or
            ray lengths.
    """
    if photos.ndim != 4:
        raise ValueError(
            f"photos of shape {tuple(photos.shape)}; expected [P, 3, S, S], P photos of one person"
        )
    _check_count(len(photos))
    if tuple(cameras.shape) != (len(photos), 25):
        raise ValueError(
            f"cameras of shape {tuple(cameras.shape)} for {len(photos)} photos of one person; "
            f"expected [{len(photos)}, 25], one camera a photo"
        )
    if ray_length is not None and len(ray_length) != len(photos):
        raise ValueError(
            f"ray_length of shape {tuple(ray_length.shape)} for {len(photos)} photos of one "
            f"person; expected [{len(photos)}, 1, R, R], or None for the generator's"
        )


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_PHOTOS:
        raise ValueError(
            f"{count} photos of one person; expected 1 to {MOST_PHOTOS}"
            + ("" if count else ": give at least one")
        )
