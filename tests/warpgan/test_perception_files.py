"""Nets whose weights the user brings: what happens with the file, without it, with a wrong one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision

from warpgan import weights
from warpgan.perception import build_identity, build_perceptual
from warpgan.perception.irse50 import IrSe50


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch, tmp_path):
    """No weights folder and no torch cache but the test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv(weights.ROOT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def random_backbone(kind: str) -> dict[str, torch.Tensor]:
    """A state dict laid out as torchvision's file, features only."""
    torch.manual_seed(0)
    features = getattr(torchvision.models, kind)(weights=None).features
    return {f"features.{key}": value for key, value in features.state_dict().items()}


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_lpips_reads_the_backbone_of_the_table(tmp_path):
    import lpips

    state = random_backbone("alexnet")
    torch.save(state, tmp_path / "alexnet-owt-7be5be79.pth")
    net = build_perceptual("lpips_alex", weights_dir=tmp_path)
    loaded = net.net.net.state_dict()
    assert len(loaded) == 10
    for key, value in loaded.items():
        assert torch.equal(value, state["features." + key.split(".", 1)[1]])
    a, b = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    official = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    official.net.load_state_dict(loaded)
    torch.testing.assert_close(net.distance(a, b), official(a, b).flatten())
    assert net.distance(a, a).abs().max() == 0


def test_lpips_is_found_in_torch_s_cache(tmp_path):
    cache = tmp_path / "torch_home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(random_backbone("alexnet"), cache / "alexnet-owt-7be5be79.pth")
    assert build_perceptual("lpips_alex").name == "lpips_alex"


@pytest.mark.parametrize(
    ("name", "file", "instead"),
    [
        ("lpips_alex", "alexnet-owt-7be5be79.pth", "perc_efficientnet"),
        ("lpips_vgg", "vgg16-397923af.pth", "perc_vgg16hed"),
    ],
)
def test_lpips_without_its_file_says_what_to_do(name, file, instead):
    with pytest.raises(FileNotFoundError) as caught:
        build_perceptual(name)
    message = str(caught.value)
    for part in (name, file, "WARPGAN_WEIGHTS", instead):
        assert part in message


def test_lpips_refuses_another_backbone(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet-owt-7be5be79.pth")
    with pytest.raises(ValueError, match="not torchvision's alex state dict"):
        build_perceptual("lpips_alex", weights_dir=tmp_path)


def test_files_of_the_wrong_sort_are_refused(tmp_path):
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(ValueError, match="not a plain state dict"):
        build_perceptual("lpips_alex", weights_dir=tmp_path)
    torch.save([1, 2], tmp_path / "model_ir_se50.pth")
    with pytest.raises(ValueError, match="not a plain state dict"):
        build_identity("arcface_irse50", weights_dir=tmp_path)


def test_arcface_reads_its_state_dict(tmp_path):
    torch.manual_seed(1)
    source = IrSe50().eval()
    torch.save(source.state_dict(), tmp_path / "model_ir_se50.pth")
    net = build_identity("arcface_irse50", crop="legacy", weights_dir=tmp_path)
    images = torch.rand(1, 3, 256, 256) * 2 - 1
    faces = F.adaptive_avg_pool2d(images[:, :, 35:223, 32:220], 112)
    torch.testing.assert_close(net(images), source(faces))


def test_arcface_without_its_file_or_with_another(tmp_path):
    with pytest.raises(FileNotFoundError, match="model_ir_se50.pth.*id_dlib"):
        build_identity("arcface_irse50")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model_ir_se50.pth")
    with pytest.raises(ValueError, match="does not hold the weights of IrSe50"):
        build_identity("arcface_irse50", weights_dir=tmp_path)


def tiny_arcface(path) -> np.ndarray:
    """Writes an ONNX model that a recogniser's loader accepts: 112 px to 4 channel sums."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input.1"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["None", 512])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return matrix


@pytest.mark.parametrize("file", ["glintr100.onnx", "w600k_r50.onnx"])
def test_onnx_arcface_sees_rgb_in_its_own_range(tmp_path, file):
    matrix = tiny_arcface(tmp_path / file)
    net = build_identity("arcface_onnx", crop="legacy", weights_dir=tmp_path)
    assert not net.differentiable
    colours = torch.tensor([[0.8, -0.3, 0.1], [-0.9, 0.5, 0.4]])
    images = colours[:, :, None, None].expand(2, 3, 256, 256)
    expected = F.normalize(colours @ torch.from_numpy(matrix), dim=1)
    found = net(images)
    assert found.shape == (2, 512)
    assert (found * expected).sum(1).min() > 0.9999


def test_onnx_arcface_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="glintr100.onnx.*w600k_r50.onnx"):
        build_identity("arcface_onnx")
    with pytest.raises(ValueError, match="pretrained=False"):
        build_identity("arcface_onnx", pretrained=False)
    (tmp_path / "glintr100.onnx").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="not a readable ONNX model"):
        build_identity("arcface_onnx", weights_dir=tmp_path)


def test_unknown_perceptual_net():
    with pytest.raises(ValueError, match="no perceptual net 'lpips'; there are perc_efficientnet"):
        build_perceptual("lpips")
