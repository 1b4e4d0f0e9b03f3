"""Golden checks of the generator: full-size layout, components, and a small generator's output."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

import eg3d
from eg3d import layers, marching, poses, resampling, sampling, triplane
from eg3d.backbone import SynthesisBlock
from eg3d.rays import ray_directions
from eg3d.renderer import MarchedRays, SampleDraws, march_rays, mean_length

from . import Comparison, compare

COMPONENTS = "eg3d_components.safetensors"
SMALL_IO = "eg3d_small_io.safetensors"
SMALL_WEIGHTS = "eg3d_small_state_dict.safetensors"
SMALL_KWARGS = "eg3d_small_init_kwargs.json"
FULL_LAYOUT = "eg3d_ffhq512_state_dict.json"


def check_layout(folder: Path) -> list[Comparison]:
    """Names, shapes and kinds of all 176 tensors; the error is the number of differences."""
    layout = json.loads((folder / FULL_LAYOUT).read_text())
    with torch.device("meta"):
        generator = eg3d.build_generator(layout["init_kwargs"])
    parameters = dict(generator.named_parameters())
    ours = {
        (name, tuple(tensor.shape), "parameter" if name in parameters else "buffer")
        for name, tensor in generator.state_dict().items()
    }
    golden = {(t["name"], tuple(t["shape"]), t["kind"]) for t in layout["tensors"]}
    count = sum(tensor.numel() for tensor in parameters.values())
    return [
        Comparison(FULL_LAYOUT, "tensors", float(len(ours ^ golden)), 0.0, 0.0),
        Comparison(FULL_LAYOUT, "num_tensors", float(abs(len(ours) - 176)), 0.0, 0.0),
        Comparison(
            FULL_LAYOUT,
            "counts.total.parameters",
            float(abs(count - layout["counts"]["total"]["parameters"])),
            0.0,
            0.0,
        ),
    ]


def small_generator(folder: Path) -> eg3d.TriPlaneGenerator:
    """The reduced generator of the vectors, with the official batch-wide depth clamp."""
    init_kwargs = json.loads((folder / SMALL_KWARGS).read_text())["init_kwargs"]
    init_kwargs["rendering_kwargs"]["depth_clamp"] = "batch"
    generator = eg3d.build_generator(init_kwargs)
    weights = load_file(str(folder / SMALL_WEIGHTS))
    generator.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return generator.eval().requires_grad_(False)


class _Recorder:
    """Compares tensors with one golden file and remembers which keys were covered."""

    def __init__(self, file: str, golden: dict[str, torch.Tensor]) -> None:
        self.file = file
        self.golden = golden
        self.used: set[str] = set()
        self.found: list[Comparison] = []

    def __getitem__(self, key: str) -> torch.Tensor:
        self.used.add(key)
        return self.golden[key]

    def scope(self, prefix: str) -> dict[str, torch.Tensor]:
        keys = [key for key in self.golden if key.startswith(prefix)]
        return {key[len(prefix) :]: self[key] for key in keys}

    def check(self, key: str, ours: torch.Tensor, limit: float, mean: float = 1.0) -> None:
        self.found.append(
            compare(self.file, key, ours, self[key], max_tolerance=limit, mean_tolerance=mean)
        )

    def finish(self) -> list[Comparison]:
        """Every key of the file must have been an input or a comparison."""
        for key in sorted(set(self.golden) - self.used):
            self.found.append(Comparison(self.file, key, float("inf"), float("inf"), 0.0))
        return self.found


def check_components(folder: Path) -> list[Comparison]:
    """Unit vectors."""
    r = _Recorder(COMPONENTS, load_file(str(folder / COMPONENTS)))
    with torch.no_grad():
        _check_layers(r)
        _check_geometry(r)
        _check_volume(r)
    return r.finish()


def _check_layers(r: _Recorder) -> None:
    limit = 1e-5
    r.check("filter.1331", resampling.fir_matrix(resampling.FIR_TAPS), limit)
    r.check("upfirdn.upsample2d", resampling.upsample(r["upfirdn.x"]), limit)
    r.check("upfirdn.downsample2d", resampling.downsample(r["upfirdn.x"]), limit)
    r.check("upfirdn.filter2d", resampling.smooth(r["upfirdn.x"]), limit)
    for up in (1, 2):
        r.check(f"conv.up{up}", layers.convolve(r["conv.x"], r["conv.w"], up=up), limit)
    x, w, styles = r["conv.x"], r["conv.w"], r["modconv.styles"]
    r.check("modconv.up1_demod", layers.modulated_convolve(x, w, styles), limit)
    noisy = layers.modulated_convolve(x, w, styles, up=2) + r["modconv.noise16"]
    r.check("modconv.up2_demod_noise", noisy, limit)
    plain = layers.modulated_convolve(x, r["modconv.w1x1"], styles, demodulate=False)
    r.check("modconv.nodemod_1x1", plain, limit)

    kinds = {
        "linear": dict(),
        "lrelu_lr001": dict(activation="lrelu", lr_multiplier=0.01),
        "affine": dict(bias_init=1.0),
    }
    for name, options in kinds.items():
        layer = layers.FullyConnected(6, 5, **options)
        if name == "affine":
            r.check("fc.affine.bias", layer.bias, limit)
        layer.weight.copy_(r[f"fc.{name}.weight"])
        layer.bias.copy_(r[f"fc.{name}.bias"])
        r.check(f"fc.{name}.y", layer(r[f"fc.{name}.x"]), limit)

    for up in (1, 2):
        prefix = f"synlayer_up{up}_clamp1."
        layer = layers.SynthesisLayer(4, 6, w_dim=8, resolution=16, up=up, conv_clamp=1.0)
        layer.load_state_dict(r.scope(prefix + "sd."))
        x, w = r[prefix + "x"], r[prefix + "w"]
        r.check(prefix + "y_const", layer(x, w, noise_mode="const"), limit)
        r.check(prefix + "y_none", layer(x, w, noise_mode="none"), limit)
        half = layer(x, w, noise_mode="none", gain=0.5)
        r.check(prefix + "y_none_gain0.5", half, limit)

    layer = layers.ToRGB(4, 3, w_dim=8, conv_clamp=1.5)
    layer.load_state_dict(r.scope("torgb_clamp1.5.sd."))
    y = layer(r["torgb_clamp1.5.x"], r["torgb_clamp1.5.w"])
    r.check("torgb_clamp1.5.y", y, limit)

    block = SynthesisBlock(4, 6, w_dim=8, resolution=16, img_channels=3)
    block.load_state_dict(r.scope("synblock.sd."))
    y, image = block(r["synblock.x"], r["synblock.img"], r["synblock.ws"])
    r.check("synblock.y_x", y, limit)
    r.check("synblock.y_img", image, limit)
    for source, size in (("x20", 32), ("x20b", 12)):
        resized = resampling.resize(r[f"sr_resize.{source}"], size, antialias=True)
        r.check(f"sr_resize.to{size}", resized, limit)


def _check_geometry(r: _Recorder) -> None:
    limit = 1e-5
    camera = torch.cat([r["rays.cam2world"].flatten(1), r["rays.K"].flatten(1)], 1)
    origins, directions = ray_directions(camera, 5)
    r.check("rays.res5_origins", origins, limit)
    r.check("rays.res5_dirs", directions, limit)
    offsets = r["lookat.yaw_pitch_offsets"]
    r.check("lookat.cam2world", poses.orbit_pose(offsets[:, 0], offsets[:, 1]), limit)
    fov = [poses.intrinsics_from_fov(degrees) for degrees in r["fov.degrees"].tolist()]
    r.check("fov.intrinsics", torch.stack(fov), limit)
    near, far = sampling.box_limits(r["box.origins"], r["box.dirs"], side=1.0)
    r.check("box.near", near, limit)
    r.check("box.far", far, limit)

    for name in ("released", "fixed"):
        ours = torch.zeros(3, 3, 3)
        for plane, (a, b) in enumerate(triplane.PLANE_AXES[name]):
            # Coordinates are points @ inverse(axes): for permutations, row i is the basis
            # vector of the axis that becomes coordinate i.
            ours[plane, 0, a] = ours[plane, 1, b] = 1
            ours[plane, 2, 3 - a - b] = 1
        r.check(f"triplane.axes_{name}", ours, 0.0)
        boxed = triplane.to_box(r["triplane.points"], box_warp=1, box_centre=(0, 0, 0))
        uv = triplane.plane_coordinates(boxed, plane_axes=name)[0]
        r.check(f"triplane.uv_{name}", uv, limit)
    for name, box_warp in (("released", 1), ("released", 1.6), ("fixed", 1)):
        boxed = triplane.to_box(r["triplane.points"], box_warp=box_warp, box_centre=(0, 0, 0))
        sampled = triplane.sample_planes(r["triplane.planes"], boxed, plane_axes=name)
        r.check(f"triplane.features_{name}_boxwarp{box_warp}", sampled.mT, limit)


def _check_volume(r: _Recorder) -> None:
    limit = 1e-5
    depths, density = r["march.depths"][..., 0], r["march.densities"][..., 0]
    marched = marching.march(depths, density, r["march.colors"].permute(0, 3, 1, 2))
    length = mean_length(
        MarchedRays(marched, depths.amin(-1), depths.amax(-1)),
        depth_clamp="batch",
        rays_per_image=depths.shape[1],
    )
    for white in (False, True):
        prefix = f"march.white_back_{white}."
        colour = marched.colour + (1 - marched.opacity)[:, None] * white
        r.check(prefix + "rgb", (colour * 2 - 1).mT, limit)
        r.check(prefix + "depth", length[..., None], limit)
        r.check(prefix + "weights", marched.weights[..., None], limit)

    def spaced(near, far, jitter, **options):
        return sampling.stratified_depths(near, far, jitter, **options)[..., None]

    for jitter in (0, 0.5):
        number = torch.full((1, 4, 8), float(jitter))
        near, far = torch.tensor(2.25), torch.tensor(3.3)
        r.check(f"strat.linear.jitter{jitter}", spaced(near, far, number), limit)
        near, far = torch.tensor(0.5), torch.tensor(4.0)
        ours = spaced(near, far, number, disparity=True)
        r.check(f"strat.disparity.jitter{jitter}", ours, limit)
    near, far = r["strat.tensor_limits.start"], r["strat.tensor_limits.end"]
    jitter = r["strat.tensor_limits.jitter"][..., 0]
    r.check("strat.tensor_limits.depths", spaced(near, far, jitter), limit)
    for name in ("zeros_linspace", "half_mid", "given"):
        fine = sampling.importance_depths(
            r["imp.z_coarse"][..., 0], r["imp.weights"][..., 0], r[f"imp.{name}.u"][None]
        )
        r.check(f"imp.{name}.fine", fine[..., None], limit)


def check_small(folder: Path) -> list[Comparison]:
    """Mapping, planes, queries, rendering and super-resolution of the reduced generator."""
    r = _Recorder(SMALL_IO, load_file(str(folder / SMALL_IO)))
    generator = small_generator(folder)
    with torch.no_grad():
        _check_mapping(r, generator)
        planes = _check_planes(r, generator)
        samples = generator.query(planes, r["query.points"])
        r.check("query.sigma", samples.density, 1e-4, 1e-5)
        r.check("query.rgb", samples.colour, 1e-4, 1e-5)
        origins, directions = ray_directions(r["in.c_render"], 32)
        r.check("rays32.origins", origins[:, :1], 1e-5)
        r.check("rays32.directions", directions, 1e-5)
        _check_rendering(r, generator, planes)
        _check_ray_samples(r, generator, planes)
    return r.finish()


def _check_mapping(r: _Recorder, generator: eg3d.TriPlaneGenerator) -> None:
    for name, psi, cutoff in (
        ("psi1", 1.0, None),
        ("psi0.7", 0.7, None),
        ("psi0.7_cutoff8", 0.7, 8),
        ("psi0.5_cutoff14", 0.5, 14),
    ):
        ws = generator.mapping(
            r["in.z"], r["in.c_cond"], truncation_psi=psi, truncation_cutoff=cutoff
        )
        r.check(f"mapping.ws_{name}", ws, 1e-5)


def _check_planes(r: _Recorder, generator: eg3d.TriPlaneGenerator) -> torch.Tensor:
    ws = r["in.ws_plus"]
    planes = generator.planes(ws)
    image = planes.flatten(1, 2)
    limit = 1e-4
    r.check("planes.const_stride16", image[:, :, ::16, ::16], limit)
    r.check("planes.const_corner16", image[:, :, :16, :16], limit)
    r.check("planes.const_tail8", image[:, :, -8:, -8:], limit)
    statistics = torch.stack([image.mean((2, 3)), image.std((2, 3))], -1)
    r.check("planes.const_mean_std", statistics, limit)
    quiet = generator.planes(ws, noise_mode="none").flatten(1, 2)
    r.check("planes.none_stride16", quiet[:, :, ::16, ::16], limit)
    x = skip = None
    first = 0
    for side in (4, 8, 16):
        block = getattr(generator.backbone.synthesis, f"b{side}")
        x, skip = block(x, skip, ws[:, first : first + block.num_convs + 1])
        first += block.num_convs
        r.check(f"planes.block_x_b{side}", x, limit)
        r.check(f"planes.block_img_b{side}", skip.clone(), limit)
    return planes


def _draws(r: _Recorder, name: str, fine: int) -> dict:
    if name == "zeros_linspace":
        return dict(jitter=0.0, u=torch.linspace(0, 1, fine))
    if name == "half_mid":
        return {}
    jitter = r["r32.given.jitter_coarse"][..., 0]
    return dict(jitter=jitter, u=r["r32.given.u_fine"].reshape(jitter.shape[0], -1, fine))


def _check_rendering(r: _Recorder, generator: eg3d.TriPlaneGenerator, planes: torch.Tensor) -> None:
    ws, camera = r["in.ws_plus"], r["in.c_render"]
    fine = generator.options.depth_resolution_importance
    for side, name in (
        (32, "zeros_linspace"),
        (32, "half_mid"),
        (32, "given"),
        (128, "zeros_linspace"),
    ):
        prefix = f"r{side}.{name}."
        keys = [key for key in r.golden if key.startswith(prefix)]
        draws = _draws(r, name, fine)
        bundle = generator.render_rays(planes, *ray_directions(camera, side), **draws)
        features, depth = _as_image(bundle.features), _as_image(bundle.ray_length)
        values = {
            "feature": features,
            "feature_stride2": features[:, :, ::2, ::2],
            "feature_stride8": features[:, :, ::8, ::8],
            "image_depth": depth,
            "image_depth_stride2": depth[:, :, ::2, ::2],
            "image_raw_stride2": features[:, :3, ::2, ::2],
            "weights_sum": bundle.opacity,
        }
        for key in keys:
            if key[len(prefix) :] in values:
                r.check(key, values[key[len(prefix) :]], 3e-3, 5e-5)
        if prefix + "image_stride8" not in keys:
            continue
        image = generator.render(planes, ws, camera, resolution=side, **draws).image
        statistics = torch.stack([image.mean((2, 3)), image.std((2, 3))], -1)
        r.check(prefix + "image_stride8", image[:, :, ::8, ::8], 5e-3, 5e-5)
        r.check(prefix + "image_crop224_288", image[:, :, 224:288, 224:288], 5e-3, 5e-5)
        r.check(prefix + "image_mean_std", statistics, 5e-3, 5e-5)

    kept = dict(generator.rendering_kwargs)
    generator.rendering_kwargs["depth_resolution_importance"] = 0
    bundle = generator.render_rays(planes, *ray_directions(camera, 32), jitter=0.0)
    generator.rendering_kwargs = kept
    r.check("r32.coarse_only.image_depth", _as_image(bundle.ray_length), 3e-3, 5e-5)
    r.check("r32.coarse_only.image_raw", _as_image(bundle.features)[:, :3], 3e-3, 5e-5)


def _as_image(rays: torch.Tensor) -> torch.Tensor:
    side = round(rays.shape[1] ** 0.5)
    return rays.mT.unflatten(2, (side, side))


def _check_ray_samples(
    r: _Recorder, generator: eg3d.TriPlaneGenerator, planes: torch.Tensor
) -> None:
    """Distances of both passes, taken apart: the coarse pass alone, then its resampling."""
    origins, directions = ray_directions(r["in.c_render"], 32)
    options = generator.options
    volume = generator._volume(planes)
    for name in ("zeros_linspace", "half_mid", "given"):
        draws = SampleDraws(**_draws(r, name, options.depth_resolution_importance))
        z = sampling.stratified_depths(
            origins.new_full((), options.ray_start),
            origins.new_full((), options.ray_end),
            draws.coarse(origins, options.depth_resolution),
        )
        coarse = march_rays(volume, origins, directions, SampleDraws(), depths=z)
        fine = sampling.importance_depths(
            z,
            coarse.marched.weights,
            draws.fine(origins, options.depth_resolution_importance),
        )
        r.check(f"r32.{name}.depths_fine", fine[..., None], 3e-3, 5e-5)
        if name == "given":
            r.check("r32.given.depths_coarse", z[..., None], 1e-5)
            density, _ = volume.along(origins, directions, z, None)
            r.check("r32.given.sigma_coarse", density[..., None], 3e-3, 5e-5)
            r.check("r32.given.weights_coarse", coarse.marched.weights[..., None], 3e-3, 5e-5)


FILES = {
    FULL_LAYOUT: check_layout,
    COMPONENTS: check_components,
    SMALL_IO: check_small,
}
