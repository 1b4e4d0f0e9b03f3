"""Golden checks of the warp and of the hole mask.

A point that lies on the border between two pixels goes to either, as rounding has it, and its
weight may be e^10 times that of what it hides. So colours are compared at the 99.9th percentile
(key ``...p999``), and their largest error with a wide tolerance; masks by the share that differs.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.parity_checks import Comparison, compare
from warpgan.cameras import mirror_label
from warpgan.holes import erode
from warpgan.reprojection import enlarge_ray_length, reproject
from warpgan.splat import nearness_weight
from warpgan.warp import Warped, WarpOptions, forward_warp, soft_holes, visible_pixels

WARPS = ("warp_64.safetensors", "warp_128_from_depth32.safetensors")
MASKS = "mask_post.safetensors"
OFFICIAL = WarpOptions(depth="ray", pixel_grid="integer", hole_test="black")
VARIANTS = {
    "official": OFFICIAL,
    "zdepth_intgrid": WarpOptions(pixel_grid="integer"),
    "zdepth_center": WarpOptions(),
}
INPUTS = {f"{name}{end}" for name in ("c_src", "image", "ray_depth") for end in ("", "_mirror")}
COVERED = 1e-6


def mostly(
    file: str,
    key: str,
    ours: Tensor,
    golden: Tensor,
    *,
    within: float,
    outliers: float,
    where: Tensor | None = None,
) -> list[Comparison]:
    """99.9 % of the values within one tolerance, all within another."""
    if tuple(ours.shape) != tuple(golden.shape):
        return [compare(file, key, ours, golden, max_tolerance=within)]
    if where is not None:
        ours, golden = (x[where.expand_as(x)] for x in (ours, golden))
    error = (ours.double() - golden.double()).abs().nan_to_num(math.inf).flatten().sort().values
    high = error[math.ceil(0.999 * len(error)) - 1].item()
    return [
        Comparison(file, f"{key} p999", high, error.mean().item(), within),
        compare(file, key, ours, golden, max_tolerance=outliers),
    ]


def differing(file: str, key: str, ours: Tensor, golden: Tensor, *, share: float) -> Comparison:
    """Share of a mask that differs."""
    if tuple(ours.shape) != tuple(golden.shape):
        return Comparison(file, key, math.inf, math.inf, share)
    found = (ours.bool() != golden.bool()).double().mean().item()
    return Comparison(file, key, found, found, share)


def check_warp(folder: Path, file: str) -> list[Comparison]:
    """All branches and variants, in float32 and float64."""
    golden = load_file(folder / file)
    found, unread = [], set(golden) - INPUTS - {"c_tgt"}
    found.append(
        compare(
            file, "c_src_mirror", mirror_label(golden["c_src"]), golden["c_src_mirror"],
            max_tolerance=1e-6,
        )
    )  # fmt: skip
    size = golden["image"].shape[-2:]
    if "ray_depth_upsampled" in golden:
        enlarged = enlarge_ray_length(golden["ray_depth"], *size)
        expected = golden["ray_depth_upsampled"]
        found.append(compare(file, "ray_depth_upsampled", enlarged, expected, max_tolerance=1e-5))
        unread.discard("ray_depth_upsampled")
    for dtype in (torch.float32, torch.float64):
        for branch in ("main", "mirror"):
            for variant, options in VARIANTS.items():
                prefix = f"{branch}.{variant}."
                if f"{prefix}color" in golden:
                    found += _check_variant(file, prefix, golden, dtype=dtype, options=options)
                    unread -= {f"{prefix}{name}" for name in ("color", "den", "vis_color")}
                    unread.discard(f"{prefix}vis_den")
        if "main.official.flow" in golden:
            found += _check_flow(file, golden, dtype=dtype)
            unread -= {"main.official.flow", "main.official.importance"}
    return found + [Comparison(file, key, math.inf, math.inf, 0.0) for key in sorted(unread)]


def _inputs(
    golden: dict[str, Tensor], suffix: str, *, dtype: torch.dtype, exact_focal: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, ray length, source and target, one source a target.

    The golden z variants have the focal length 4.2647 in float64, the labels in float32.
    """
    target = golden["c_tgt"].to(dtype, copy=True)
    image, length, source = (
        golden[name + suffix].to(dtype).expand(len(target), *golden[name + suffix].shape[1:])
        for name in ("image", "ray_depth", "c_src")
    )
    if exact_focal:
        source = source.clone()
        for label in (source, target):
            label[:, [16, 20]] = 4.2647
    return image, length, source, target


def _check_variant(
    file: str,
    prefix: str,
    golden: dict[str, Tensor],
    *,
    dtype: torch.dtype,
    options: WarpOptions,
) -> list[Comparison]:
    suffix = "_mirror" if prefix.startswith("mirror") else ""
    image, length, source, target = _inputs(
        golden, suffix, dtype=dtype, exact_focal=options.depth == "z"
    )
    warped = forward_warp(image, length, source, target, options=options)
    double = dtype == torch.float64
    colour, weight = golden[f"{prefix}color"], golden[f"{prefix}den"]
    name = f"{prefix}%s {'f64' if double else 'f32'}"
    found = mostly(
        file,
        name % "color",
        warped.colour,
        colour,
        within=1e-6 if double else 5e-4,
        outliers=1e-6 if double else 1e-2,
        where=weight > COVERED,
    )
    found += mostly(
        file,
        name % "den",
        warped.coverage,
        weight,
        within=1e-6 if double else 2e-4,
        outliers=1e-6 if double else 1e-2,
    )
    share = 1e-4 if double else 2e-3
    black = visible_pixels(_without_rounding(warped), target, options=OFFICIAL)
    ours = {"vis_color": black, "vis_den": visible_pixels(warped, target, options=WarpOptions())}
    for key, mask in ours.items():
        expected = golden[f"{prefix}{key}"]
        if key == "vis_color":
            expected = expected.bool() & (colour > 1e-12).any(1, keepdim=True)
        found.append(differing(file, name % key, mask, expected, share=share))
    return found


def _without_rounding(warped: Warped) -> Warped:
    """Black stays black where a neighbour's share of it is rounding: in the identity warp only."""
    colour = torch.where(warped.colour > 1e-12, warped.colour, 0)
    return Warped(colour=colour, coverage=warped.coverage, depth_z=warped.depth_z)


def _check_flow(file: str, golden: dict[str, Tensor], *, dtype: torch.dtype) -> list[Comparison]:
    _, length, source, target = _inputs(golden, "", dtype=dtype, exact_focal=False)
    length = enlarge_ray_length(length, *golden["image"].shape[-2:])
    moved = reproject(length, source, target, pixel_grid="integer")
    height, width = length.shape[-2:]
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")).to(
        dtype
    )
    near = moved.depth_z.flatten(1)
    weight = nearness_weight(near, torch.ones_like(near, dtype=torch.bool)).view_as(moved.depth_z)
    kind = "f64" if dtype == torch.float64 else "f32"
    tolerances = {"f64": (5e-6, 1e-7), "f32": (2e-4, 2e-5)}[kind]
    return [
        compare(file, f"main.official.{key} {kind}", ours, golden[f"main.official.{key}"],
                max_tolerance=tolerance)
        for (key, ours), tolerance in zip(
            {"flow": moved.position - grid, "importance": weight}.items(), tolerances, strict=True
        )
    ]  # fmt: skip


def check_masks(folder: Path) -> list[Comparison]:
    """Erosion, and the mask at three widths of the blur."""
    golden = load_file(folder / MASKS)
    found, unread = [], set(golden) - {"vis"}
    for dtype in (torch.float32, torch.float64):
        visible = golden["vis"].to(dtype)
        ours = {"eroded": erode(visible, 3)}
        for key in golden:
            if key.startswith("mask.sigma"):
                sigma = float(key.removeprefix("mask.sigma"))
                ours[key] = soft_holes(visible, options=WarpOptions(blur_sigma=sigma))
        unread -= set(ours)
        kind = "f64" if dtype == torch.float64 else "f32"
        found += [
            compare(MASKS, f"{key} {kind}", value, golden[key], max_tolerance=1e-6)
            for key, value in ours.items()
        ]
    return found + [Comparison(MASKS, key, math.inf, math.inf, 0.0) for key in sorted(unread)]


def check_warp_64(folder: Path) -> list[Comparison]:
    """Depth of the image's size, six targets."""
    return check_warp(folder, WARPS[0])


def check_warp_128(folder: Path) -> list[Comparison]:
    """Depth a quarter of the image's size, three targets."""
    return check_warp(folder, WARPS[1])


FILES = {WARPS[0]: check_warp_64, WARPS[1]: check_warp_128, MASKS: check_masks}
