"""The metrics of an evaluation, built from the names in ``configs/metrics``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from warpgan import weights
from warpgan.evaluation.feature_cache import FeatureCache
from warpgan.evaluation.measures import MetricSuite
from warpgan.perception import build_identity, build_perceptual
from warpgan.perception.pose_net import build_pose_net
from warpgan.perception.set_features import build_set_net

ARCFACE_FILES = ("arcface_glintr100", "arcface_w600k_r50")


def build_suite(
    *,
    perceptual: Sequence[str] = (),
    identity: Sequence[Mapping[str, str]] = (),
    sets: Sequence[str] = (),
    pose: str | None = None,
    registered: bool = False,
    training_nets: Sequence[str] = (),
    cache: str | Path | None = None,
    weights_dir: str | Path | None = None,
) -> MetricSuite:
    """Build the nets by name.

    Args:
        perceptual: names of ``warpgan.perception.PERCEPTUAL_NETS``.
        identity: mappings ``{net: NAME, crop: aligned or legacy, head: eg3d or portraits}``, see
            ``warpgan.perception.crops``. A metric with the legacy crop is called ``NAME_legacy``,
            one that is aligned by the portraits' mean head ``NAME_portraits``.
        sets: names of ``warpgan.perception.set_features.SET_NETS``.
        pose: name of the pose net, used for portraits only; none if ``None``.
        registered: also take pixels and perceptual distance after registration.
        training_nets: names of the metrics whose net was also a training loss.
        cache: folder of the features of references; not kept if ``None``.
        weights_dir: folder of external weights; the configured one if ``None``.

    Raises:
        FileNotFoundError: if the file of a net is absent; the message says where it goes.
        ValueError: for an unknown name.
    """
    nets = {}
    for choice in identity:
        if "net" not in choice or not set(choice) <= {"net", "crop", "head"}:
            raise ValueError(
                f"metrics.identity has {dict(choice)}; expected {{net: NAME, crop: aligned, head: "
                "eg3d}, of which crop and head may be left out"
            )
        given = {"crop": "aligned", "head": "eg3d", **choice}
        name, crop, head = given["net"], given["crop"], given["head"]
        variant = crop if crop != "aligned" else head
        column = name if variant == "eg3d" else f"{name}_{variant}"
        nets[column] = build_identity(name, crop=crop, head=head, weights_dir=weights_dir)
    names = [*perceptual, *(choice["net"] for choice in identity), *sets]
    files = {name: _file_of(name, weights_dir) for name in names}
    caches = {}
    if cache is not None:
        caches = {
            name: FeatureCache(Path(cache), net=name, weights_sha256=weights.sha256_of(files[name]))
            for name in sets
        }
    if pose is not None:
        files[pose] = _file_of(pose, weights_dir)
    return MetricSuite(
        perceptual=[build_perceptual(name, weights_dir=weights_dir) for name in perceptual],
        identity_nets=nets,
        set_nets=[build_set_net(name, weights_dir=weights_dir) for name in sets],
        pose_net=None if pose is None else build_pose_net(pose),
        training_nets=tuple(training_nets),
        files=tuple(files.values()),
        registered=registered,
        caches=caches,
    )


def _file_of(name: str, weights_dir: str | Path | None) -> Path:
    if name == "arcface_onnx":
        return weights.resolve_first(ARCFACE_FILES, root=weights_dir)
    return weights.resolve(name, root=weights_dir)
