"""Golden checks of the whole chain: warp, mask, fill, both branches, SVINet; and the re-warp."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.parity_checks import Comparison, compare
from tests.parity_checks.warp import OFFICIAL, mostly
from warpgan.initial_fill import Branch, both_branches
from warpgan.losses.rewarp import rewarp_branches, rewarped_image
from warpgan.svinet import SVINet
from warpgan.svinet_released import load_released_state, released_architecture

PIPELINE = "pipeline_small.safetensors"
REWARP = "rewarp_small.safetensors"
SVINET = "svinet_small_condition.safetensors"
INPUT_WITHIN, INPUT_OUTLIERS, RESULT = 5e-5, 1e-2, 1e-3
WARP_WITHIN = 1e-3  # a warp's 5e-4 in [0, 1], twice that in [-1, 1]


def small_svinet(folder: Path) -> SVINet:
    """The network of `SVINET`, in eval mode."""
    entries = {
        key.removeprefix("sd."): value
        for key, value in load_file(folder / SVINET).items()
        if key.startswith("sd.")
    }
    svinet = released_architecture(entries)
    load_released_state(svinet, entries)
    return svinet.eval()


@torch.no_grad()
def check_pipeline(folder: Path) -> list[Comparison]:
    """Inference on one photo in [-1, 1]."""
    golden = load_file(folder / PIPELINE)
    svinet = small_svinet(folder)
    main, mirrored = both_branches(
        golden["x"],
        golden["ray_depth"],
        golden["c_src"],
        target=golden["c_novel"],
        render=golden["y_hat_novel"],
        options=OFFICIAL,
        empty=-1.0,
    )
    result = svinet(main, mirrored, golden["codes"])
    found = mostly(
        PIPELINE,
        "svinet_input",
        svinet.channels(main, mirrored),
        golden["svinet_input"],
        within=INPUT_WITHIN,
        outliers=INPUT_OUTLIERS,
    )
    found += mostly(
        PIPELINE,
        "warp_m1p1",
        main.warped,
        golden["warp_m1p1"],
        within=WARP_WITHIN,
        outliers=2 * INPUT_OUTLIERS,
    )
    mask = main.hole * 2 - 1
    found.append(compare(PIPELINE, "mask_m1p1", mask, golden["mask_m1p1"], max_tolerance=2e-6))
    for key, value in {"result": result, "pred01": (result + 1) / 2}.items():
        found.append(compare(PIPELINE, key, value, golden[key], max_tolerance=RESULT))
    return found


@torch.no_grad()
def check_rewarp(folder: Path) -> list[Comparison]:
    """A training step's two passes in [0, 1]; the initial fill is warped back, as released."""
    golden = load_file(folder / REWARP)
    svinet = small_svinet(folder)
    first = both_branches(
        golden["x01"],
        golden["ray_depth"],
        golden["c"],
        target=golden["c_novel"],
        render=golden["y_hat_novel01"],
        options=OFFICIAL,
        empty=0.0,
    )
    novel = svinet.network(_channels(first), golden["codes"])
    second = rewarp_branches(
        rewarped_image("fill", prediction=novel, fill=first[0].filled),
        novel_ray_length=golden["ray_depth_novel"],
        novel_camera=golden["c_novel"],
        camera=golden["c"],
        render=golden["y_hat01"],
        ray_length=golden["ray_depth"],
        options=OFFICIAL,
        symmetry=True,
    )
    back = svinet.network(_channels(second), golden["codes"])
    found = []
    for number, branches in ((1, first), (2, second)):
        ours = {
            "hybrid": branches[0].filled,
            "mask": branches[0].hole,
            "svinet_input": _channels(branches),
        }
        for key, value in ours.items():
            key = f"{key}_pass{number}"
            found += mostly(
                REWARP, key, value, golden[key], within=INPUT_WITHIN, outliers=INPUT_OUTLIERS
            )
    for key, value in {"pred_novel": novel, "pred_inv_warp": back}.items():
        found.append(compare(REWARP, key, value, golden[key], max_tolerance=RESULT))
    return found


def _channels(branches: tuple[Branch, Branch | None]) -> Tensor:
    return torch.cat([branch.channels() for branch in branches if branch is not None], dim=1)


FILES = {PIPELINE: check_pipeline, REWARP: check_rewarp}
