"""From one photo to any number of views: what belongs to the photo is computed once.

```
photo -> encoder -> ws -> planes -> ray length of the source view        once, `WarpGAN.invert`
camera -> render -> warp photo and its mirror image -> fill -> SVINet    each view, `Face.views`
```
Nothing here is random: the same photo and cameras give the same bytes, so videos do not flicker.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from eg3d import TriPlaneGenerator, ray_directions
from warpgan.encoders.inversion import InversionEncoder
from warpgan.initial_fill import both_branches
from warpgan.svinet import SVINet
from warpgan.warp import WarpOptions, depth_z_from_ray_length

METHODS = ("inversion", "warp", "fill", "warpgan")
PIXELS_AT_ONCE = 2**19


@dataclass(frozen=True)
class NovelViews:
    """Views of a batch of faces, ``V`` an item, and what they were made of.

    Attributes:
        image: ``[B, V, 3, S, S]`` in [-1, 1].
        depth_z: ``[B, V, 1, S, S]`` of the generator's render, enlarged, in scene units.
        render: ``[B, V, 3, S, S]`` the generator's view, nominally in [-1, 1].
        warped: ``[B, V, 3, S, S]`` the photo's pixels, black where it shows nothing; None for
            method ``inversion``, as the two below.
        hole: ``[B, V, 1, S, S]`` in [0, 1], 1 where the photo shows nothing.
        filled: ``[B, V, 3, S, S]`` the warped pixels with the render in the holes.
    """

    image: Tensor
    depth_z: Tensor
    render: Tensor
    warped: Tensor | None = None
    hole: Tensor | None = None
    filled: Tensor | None = None


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
                rows.append(_joined(row, dim=1))
                row = []
        return _joined(rows, dim=0)

    @torch.inference_mode()
    def stream(
        self, cameras: Tensor, method: str = "warpgan", *, chunk: int | None = None
    ) -> Iterator[NovelViews]:
        """The same as `views`, a part at a time: for more views than memory can hold.

        Parts come in order: all cameras of the first items, then those of the next.
        """
        if method not in METHODS:
            raise ValueError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}")
        if method == "warpgan" and self.model.svinet is None:
            raise ValueError("method 'warpgan' needs SVINet; give one, or choose method 'fill'")
        batch = len(self.photo)
        if cameras.ndim != 3 or cameras.shape[0] != batch or cameras.shape[2] != 25:
            raise ValueError(
                f"cameras of shape {tuple(cameras.shape)} for {batch} faces; expected "
                f"[{batch}, V, 25]"
            )
        if not cameras.shape[1]:
            raise ValueError(f"cameras of shape {tuple(cameras.shape)}: there must be at least one")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk={chunk} must be at least 1")
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
            _each_view(self.photo[items], count),
            _each_view(self.ray_length[items], count),
            _each_view(self.camera[items], count),
            target=cameras.flatten(0, 1),
            render=drawn.image.flatten(0, 1),
            target_ray_length=drawn.ray_length.flatten(0, 1),
            options=model.options,
            symmetry=symmetry,
        )
        if method == "warpgan":
            image = model.svinet(main, mirrored, _each_view(ws, count))
        else:
            image = main.warped if method == "warp" else main.filled
        image, warped, hole, filled = (
            x.unflatten(0, cameras.shape[:2]).clamp(-1, 1)
            for x in (image, main.warped, main.hole, main.filled)
        )
        return NovelViews(image, depth_z, drawn.image, warped, hole, filled)


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


def rendered_ray_length(
    generator: TriPlaneGenerator, planes: Tensor, ws: Tensor, *, camera: Tensor
) -> Tensor:
    """Ray length of a view, without its colours and super-resolution.

    Args:
        generator: whose planes these are.
        planes: ``[B, 3, C, H, W]``.
        ws: ``[B, num_ws, w_dim]``.
        camera: labels ``[B, 25]``.

    Returns:
        ``[B, 1, R, R]``.
    """
    side = generator.neural_rendering_resolution
    origins, directions = ray_directions(camera, side)
    rays = generator.render_rays(planes, origins, directions, ws=ws)
    return rays.ray_length.mT.unflatten(2, (side, side))


def enlarged_depth_z(ray_length: Tensor, cameras: Tensor, *, size: int) -> Tensor:
    """``depth_z`` of rendered views, enlarged (bilinear) to the image.

    Args:
        ray_length: ``[B, V, 1, R, R]``.
        cameras: labels ``[B, V, 25]``.
        size: side of the images.

    Returns:
        ``[B, V, 1, size, size]``.
    """
    depth_z = depth_z_from_ray_length(ray_length, cameras)
    if depth_z.shape[-1] == size:
        return depth_z
    flat = F.interpolate(depth_z.flatten(0, 1), (size, size), mode="bilinear")
    return flat.unflatten(0, depth_z.shape[:2])


def _each_view(x: Tensor, count: int) -> Tensor:
    """Repeat every item for its views; a single item is not copied."""
    return x[:, None].expand(-1, count, *x.shape[1:]).flatten(0, 1)


def _joined(parts: list[NovelViews], *, dim: int) -> NovelViews:
    if len(parts) == 1:
        return parts[0]
    columns = {
        field.name: [getattr(part, field.name) for part in parts] for field in fields(NovelViews)
    }
    return NovelViews(
        **{name: None if x[0] is None else torch.cat(x, dim) for name, x in columns.items()}
    )
