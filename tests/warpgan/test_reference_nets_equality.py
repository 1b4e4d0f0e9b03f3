"""LPIPS and ArcFace against their own packages: the same files in, the same numbers out."""

import cv2
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from warpgan.perception import build_identity, build_perceptual
from warpgan.perception.arcface_onnx import OnnxArcFace

BATCHES = (1, 7, 32)
FILES = {
    "lpips_alex": ("alexnet", "alexnet-owt-7be5be79.pth"),
    "lpips_vgg": ("vgg16", "vgg16-397923af.pth"),
}


def pictures(count: int, size: int, *, seed: int) -> np.ndarray:
    """[N, S, S, 3] uint8: smooth colours with noise on them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(c).resize((size, size), Image.BICUBIC)) for c in coarse]
    noise = rng.integers(-20, 21, (count, size, size, 3))
    return np.clip(np.stack(smooth) + noise, 0, 255).astype(np.uint8)


def as_images(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
@pytest.mark.filterwarnings("ignore::UserWarning:lpips")
@pytest.mark.parametrize("name", sorted(FILES))
def test_lpips_equals_the_package_for_every_batch(tmp_path, name):
    import lpips

    kind, file = FILES[name]
    torch.manual_seed(0)
    features = getattr(torchvision.models, kind)(weights=None, num_classes=1).features
    torch.save({f"features.{k}": v for k, v in features.state_dict().items()}, tmp_path / file)
    official = lpips.LPIPS(net=name.removeprefix("lpips_"), pnet_rand=True, verbose=False)
    convolutions = [
        [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
        for net in (official.net, features)
    ]
    for theirs, saved in zip(*convolutions, strict=True):
        theirs.load_state_dict(saved.state_dict())
    net = build_perceptual(name, weights_dir=tmp_path)
    size = 64 if name == "lpips_alex" else 16
    a, b = (as_images(pictures(max(BATCHES), size, seed=seed)) for seed in (1, 2))
    with torch.no_grad():
        one_by_one = torch.cat([official(x[None], y[None]) for x, y in zip(a, b, strict=True)])
        for batch in BATCHES:
            found = torch.cat(
                [net.distance(*pair) for pair in zip(a.split(batch), b.split(batch), strict=True)]
            )
            torch.testing.assert_close(found, one_by_one.flatten(), rtol=1e-4, atol=0)
    assert one_by_one.min() > 0 and one_by_one.std() > 1e-3 * one_by_one.mean()


def write_arcface(path, *, scales_inside: bool) -> None:
    """A random recogniser in insightface's layout, 112 px RGB to 512 numbers.

    Args:
        path: Where the ONNX file goes.
        scales_inside: Whether the graph itself takes 0..255 to its range, as those converted from
            MXNet do; the loader tells by the nodes' names and feeds either kind as it needs.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)
    values = {
        "kernel": rng.normal(size=(16, 3, 7, 7)) / 12,
        "slope": np.full((16, 1, 1), 0.25),
        "matrix": rng.normal(size=(512, 16 * 14 * 14)) / 56,
        "bias": rng.normal(size=512),
        "centre": np.array(127.5),
        "factor": np.array(1 / 127.5),
    }
    start = "scaled" if scales_inside else "data"
    nodes = [
        helper.make_node("Conv", [start, "kernel"], ["maps"], strides=[8, 8], pads=[3] * 4),
        helper.make_node("PRelu", ["maps", "slope"], ["active"]),
        helper.make_node("Flatten", ["active"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["fc1"], transB=1),
    ]
    if scales_inside:
        nodes.insert(0, helper.make_node("Mul", ["shifted", "factor"], ["scaled"], name="Mul_1"))
        nodes.insert(0, helper.make_node("Sub", ["data", "centre"], ["shifted"], name="Sub_0"))
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "random_arcface",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["None", 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ["None", 512])],
        [
            numpy_helper.from_array(value.astype(np.float32), name)
            for name, value in values.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


@pytest.mark.parametrize("scales_inside", [False, True])
def test_arcface_equals_insightface_on_the_same_files(tmp_path, scales_inside):
    from insightface import model_zoo

    path = tmp_path / "w600k_r50.onnx"
    write_arcface(path, scales_inside=scales_inside)
    files = []
    for index, face in enumerate(pictures(max(BATCHES), 112, seed=3)):
        files.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(face).save(files[-1])
    theirs = model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    expected = torch.from_numpy(np.concatenate([theirs.get_feat(cv2.imread(f)) for f in files]))
    images = as_images(np.stack([np.asarray(Image.open(file)) for file in files]))
    net = OnnxArcFace(path)
    for batch in BATCHES:
        found = torch.cat([net(part) for part in images.split(batch)])
        assert (found - expected).norm() / expected.norm() < 1e-4
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    swapped = net(images.flip(1))
    assert (swapped - expected).norm() / expected.norm() > 0.05


@pytest.mark.filterwarnings("ignore:.estimate. is deprecated:FutureWarning")
def test_whole_identity_net_equals_insightface_s_pipeline(tmp_path):
    """Picture and landmarks to embedding, by its crop and model and by ours."""
    from insightface import model_zoo
    from insightface.utils import face_align

    write_arcface(tmp_path / "w600k_r50.onnx", scales_inside=False)
    net = build_identity("arcface_onnx", weights_dir=tmp_path)
    theirs = model_zoo.get_model(
        str(tmp_path / "w600k_r50.onnx"), providers=["CPUExecutionProvider"]
    )
    faces = pictures(6, 128, seed=4)
    # upright, turned by 15 degrees and shifted, but inside the picture: borders differ
    points = np.array(face_align.arcface_dst, np.float64) + [8.0, 8.0]
    turn = np.deg2rad(15.0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / 1.4
    turned = (points - 64) @ matrix.T + 64
    for landmarks in (points, turned):
        crops = [face_align.norm_crop(face[..., ::-1], landmarks) for face in faces]
        expected = torch.from_numpy(theirs.get_feat(crops))
        expected = expected / expected.norm(dim=1, keepdim=True)
        given = torch.from_numpy(landmarks + 0.5).float().expand(len(faces), 5, 2)
        found = net(as_images(faces), landmarks=given)
        assert (found * expected).sum(1).min() > 0.999
        shifted = net(as_images(faces), landmarks=given + 2)
        assert (shifted * expected).sum(1).max() < (found * expected).sum(1).min()
