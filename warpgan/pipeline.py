"""From one photo to any number of views: what belongs to the photo is computed once.

```
photo -> encoder -> ws -> planes -> ray length of the source view        once, `WarpGAN.invert`
camera -> render -> warp photo and its mirror image -> fill -> SVINet    each view, `Face.views`
```
Several photos of one person: `WarpGAN.invert_several`. Nothing here is random: the same photo and
cameras give the same bytes, so videos do not flicker.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from eg3d import TriPlaneGenerator
from warpgan.encoders.inversion import InversionEncoder
from warpgan.initial_fill import both_branches
from warpgan.novel_views import METHODS as METHODS
from warpgan.novel_views import PIXELS_AT_ONCE, check_question, each_view, joined, painted_views
from warpgan.novel_views import NovelViews as NovelViews
from warpgan.novel_views import enlarged_depth_z as enlarged_depth_z
from warpgan.novel_views import rendered_ray_length as rendered_ray_length
from warpgan.several_photos import SeveralPhotos, check_photos
from warpgan.svinet import SVINet
from warpgan.warp import WarpOptions


class WarpGAN:
    """Encoder, generator and SVINet, each in eval mode and on one device."""

    def __init__(
        self,
        generator: TriPlaneGenerator,
        encoder: InversionEncoder,
        svinet: SVINet | None,
        options: WarpOptions,
    ) -> None:
        """Check that the parts fit.

        Args:
            generator: paints and renders.
            encoder: predicts its latents.
            svinet: inpaints; None if only the other methods are asked for.
            options: geometry of the warp.

        Raises:
            ValueError: if the encoder predicts latents of another generator's shape.
        """
        check_encoder_fits(encoder, generator)
        self.generator = generator
        self.encoder = encoder
        self.svinet = svinet
        self.options = options

    @torch.inference_mode()
    def invert(self, photo: Tensor, camera: Tensor, *, ray_length: Tensor | None = None) -> "Face":
        """Invert photos.

        Args:
            photo: ``[B, 3, S, S]`` in [-1, 1].
            camera: labels ``[B, 25]``.
            ray_length: ``[B, 1, R, R]`` of the photos where it is known; the generator's own
                if None. Not finite where there is no surface.

        Raises:
            ValueError: if the photo has another size than the generator's images, or the number
                of cameras differs.
        """
        size = self.generator.img_resolution
        if tuple(photo.shape[1:]) != (3, size, size):
            raise ValueError(
                f"photo of shape {tuple(photo.shape)}; this generator's images are "
                f"[B, 3, {size}, {size}]: resize the photo"
            )
        if tuple(camera.shape) != (len(photo), 25):
            raise ValueError(
                f"camera of shape {tuple(camera.shape)} for {len(photo)} photos; expected "
                f"[{len(photo)}, 25]"
            )
        ws = self.encoder(photo)
        planes = self.generator.planes(ws)
        if ray_length is None:
            ray_length = rendered_ray_length(self.generator, planes, ws, camera=camera)
        return Face(self, photo, camera, ws=ws, planes=planes, ray_length=ray_length)

    def invert_several(
        self,
        photos: Tensor,
        cameras: Tensor,
        *,
        ray_length: Tensor | None = None,
        match_colours: bool = True,
    ) -> SeveralPhotos:
        """Invert photos of one person, each on its own.

        Args:
            photos: ``[P, 3, S, S]`` in [-1, 1]; the first decides ties.
            cameras: labels ``[P, 25]``.
            ray_length: ``[P, 1, R, R]`` of the photos where it is known, as for `invert`.
            match_colours: bring the others' exposure and tint to the first photo's.

        Raises:
            ValueError: without photos, for more than `warpgan.several_photos.MOST_PHOTOS`, or as
                `invert`.
        """
        check_photos(photos, cameras, ray_length=ray_length)
        lengths = [None] * len(photos) if ray_length is None else ray_length.split(1)
        faces = [
            self.invert(photo, camera, ray_length=length)
            for photo, camera, length in zip(
                photos.split(1), cameras.split(1), lengths, strict=True
            )
        ]
        return SeveralPhotos(faces, match_colours=match_colours)


class Face:
    """A batch of inverted photos, ready to be seen from other cameras.

    Attributes:
        photo: ``[B, 3, S, S]`` in [-1, 1].
        camera: labels ``[B, 25]``.
        ws: ``[B, num_ws, w_dim]``.
        planes: ``[B, 3, C, H, W]``.
        ray_length: ``[B, 1, R, R]`` of the photo.
    """

    def __init__(
        self,
        model: WarpGAN,
        photo: Tensor,
        camera: Tensor,
        *,
        ws: Tensor,
        planes: Tensor,
        ray_length: Tensor,
    ) -> None:
        """Take what `WarpGAN.invert` computed."""
        self.model = model
        self.photo = photo
        self.camera = camera
        self.ws = ws
        self.planes = planes
        self.ray_length = ray_length

    @torch.inference_mode()
    def views(
        self, cameras: Tensor, method: str = "warpgan", *, chunk: int | None = None
    ) -> NovelViews:
        """Look at the faces from cameras ``[B, V, 25]``, ``V`` of each item.

        Args:
            cameras: labels.
            method: ``inversion``, ``warp``, ``fill`` or ``warpgan``.
            chunk: views at once over the whole batch; None chooses. Memory depends on it, the
                result does not.

        Raises:
            ValueError: for an unknown method, cameras of another shape, or ``warpgan`` without
                SVINet.
        """
        rows: list[NovelViews] = []
        row: list[NovelViews] = []
        for part in self.stream(cameras, method, chunk=chunk):
            row.append(part)
            if sum(each.image.shape[1] for each in row) == cameras.shape[1]:
                rows.append(joined(row, dim=1))
                row = []
        return joined(rows, dim=0)

    @torch.inference_mode()
    def stream(
        self, cameras: Tensor, method: str = "warpgan", *, chunk: int | None = None
    ) -> Iterator[NovelViews]:
        """The same as `views`, a part at a time: for more views than memory can hold.

        Parts come in order: all cameras of the first items, then those of the next.
        """
        batch = len(self.photo)
        check_question(cameras, method, batch=batch, svinet=self.model.svinet, chunk=chunk)
        size = self.model.generator.img_resolution
        at_once = chunk or max(1, PIXELS_AT_ONCE // size**2)
        items = min(batch, at_once)
        for start in range(0, batch, items):
            stop = min(start + items, batch)
            for seen in cameras[start:stop].split(max(1, at_once // items), dim=1):
                yield self._some_views(slice(start, stop), seen, method)

    def _some_views(self, items: slice, cameras: Tensor, method: str) -> NovelViews:
        model, ws = self.model, self.ws[items]
        drawn = model.generator.render(self.planes[items], ws, cameras)
        size = drawn.image.shape[-1]
        depth_z = enlarged_depth_z(drawn.ray_length, cameras, size=size)
        if method == "inversion":
            return NovelViews(drawn.image.clamp(-1, 1), depth_z, drawn.image)
        count = cameras.shape[1]
        symmetry = method == "warpgan" and model.svinet.symmetry
        main, mirrored = both_branches(
            each_view(self.photo[items], count),
            each_view(self.ray_length[items], count),
            each_view(self.camera[items], count),
            target=cameras.flatten(0, 1),
            render=drawn.image.flatten(0, 1),
            target_ray_length=drawn.ray_length.flatten(0, 1),
            options=model.options,
            symmetry=symmetry,
        )
        return painted_views(
            main,
            mirrored,
            render=drawn.image,
            depth_z=depth_z,
            method=method,
            svinet=model.svinet,
            ws=each_view(ws, count),
        )


def check_encoder_fits(encoder: InversionEncoder, generator: TriPlaneGenerator) -> None:
    """Check that an encoder predicts latents of a generator's shape.

    Raises:
        ValueError: if it does not.
    """
    ours = (encoder.num_ws, encoder.w_dim)
    needed = (generator.num_ws, generator.w_dim)
    if ours != needed:
        raise ValueError(
            f"the encoder predicts latents {list(ours)} and the generator takes "
            f"{list(needed)}: they were not made for each other"
        )
