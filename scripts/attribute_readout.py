"""Reads attributes off pictures: ridge regression on a net's features, fitted on true portraits.

Independent of the generator, its latents and the nets that lifting trains on: whether an edit moved
an attribute is judged on pixels alone.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file
from torch import Tensor
from tqdm import trange

from warpgan.cameras import look_at
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import person_seed
from warpgan.lifting.labelled_latents import ALIASES
from warpgan.perception import PerceptualNet

GRID = 8
YAW_LIMIT = 22.0
HELD_OUT = 0.2
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
SEED = 77
"""Of people that no net here was trained or measured on."""


@dataclass(frozen=True)
class ReadOut:
    """A line from features to attributes.

    Attributes:
        net: gives the features.
        mean: ``[D]`` of the features.
        coefficients: ``[D, K]``, to standard deviations of the attributes.
        names: of the ``K`` attributes.
        r2: of each on held-out people.
    """

    net: PerceptualNet
    mean: np.ndarray
    coefficients: np.ndarray
    names: tuple[str, ...]
    r2: dict[str, float]

    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        """Attributes of pictures ``[B, 3, S, S]`` in [-1, 1], in standard deviations."""
        values = (features(self.net, images) - self.mean) @ self.coefficients
        return dict(zip(self.names, values.T, strict=True))


@torch.no_grad()
def features(net: PerceptualNet, images: Tensor) -> np.ndarray:
    """``[B, D]``: the two coarsest levels of the net, averaged over a grid."""
    levels = net.pyramid(net.pixels(images.float()))[-2:]
    pooled = [F.adaptive_avg_pool2d(level, GRID).flatten(1) for level in levels]
    return torch.cat(pooled, 1).double().cpu().numpy()


def fit_readout(
    net: PerceptualNet, names: tuple[str, ...], *, people: int, size: int = 128
) -> ReadOut:
    """Fit on fresh portraits, with glasses' styles, marks and patterns, near the frontal view.

    The ridge is the best of a few on the held-out people, so their score flatters it a little.
    """
    rows, labels = [], []
    random = np.random.default_rng(SEED)
    for place in trange(people, desc="read-out's portraits", unit="person"):
        portrait = Portrait.sample(person_seed("train", SEED, place))
        camera = look_at(random.uniform(-YAW_LIMIT, YAW_LIMIT), random.uniform(-6, 6))
        image = torch.from_numpy(portrait.render(camera[0], size=size).image)
        rows.append(features(net, image.permute(2, 0, 1)[None] / 127.5 - 1)[0])
        known = asdict(portrait.attributes)
        labels.append([known[ALIASES.get(name, name)] for name in names])
    x, y = np.stack(rows), np.array(labels, np.float64)
    cut = round(people * (1 - HELD_OUT))
    y = (y - y[:cut].mean(0)) / y[:cut].std(0)
    mean = x[:cut].mean(0)
    x = x - mean
    gram = x[:cut] @ x[:cut].T
    scale = np.trace(gram) / cut
    best: dict[str, tuple[float, np.ndarray]] = {}
    for ridge in RIDGES:
        dual = np.linalg.solve(gram + ridge * scale * np.eye(cut), y[:cut])
        coefficients = x[:cut].T @ dual
        error = ((x[cut:] @ coefficients - y[cut:]) ** 2).sum(0)
        scores = 1 - error / ((y[cut:] - y[cut:].mean(0)) ** 2).sum(0)
        for place, name in enumerate(names):
            if name not in best or scores[place] > best[name][0]:
                best[name] = (float(scores[place]), coefficients[:, place])
    return ReadOut(
        net=net,
        mean=mean,
        coefficients=np.stack([best[name][1] for name in names], 1),
        names=names,
        r2={name: best[name][0] for name in names},
    )


def kept_readout(
    path: Path, fit: Callable[[], ReadOut], net: PerceptualNet, names: tuple[str, ...]
) -> ReadOut:
    """A read-out that is fitted once and kept in a file."""
    if not path.is_file():
        found = fit()
        tensors = {"mean": found.mean, "coefficients": found.coefficients}
        tensors["r2"] = np.array([found.r2[name] for name in names])
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)
    kept = load_file(path)
    r2 = dict(zip(names, kept["r2"].tolist(), strict=True))
    return ReadOut(net, kept["mean"], kept["coefficients"], names, r2)
