"""Nets of set distances: against the packages they come from, end to end from image files."""

from pathlib import Path

import numpy as np
import pytest
import pytorch_fid.inception
import torch
from PIL import Image
from pytorch_fid.fid_score import get_activations
from safetensors.torch import load_file
from torch import Tensor, nn

from warpgan import weights
from warpgan.data.images import decode_image, to_unit_range
from warpgan.metrics.set_distance import frechet_distance
from warpgan.perception.nsfw_inception import NsfwInception
from warpgan.perception.set_features import SET_NETS, build_set_net, metric_names
from warpgan.weight_table import EXTERNAL

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "perception_reference.safetensors"
FID_FILE = next(row.file for row in EXTERNAL if row.name == "fid_inception")


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def kid_net():
    return build_set_net("kid_nsfw")


@pytest.fixture(scope="module")
def random_inception() -> dict[str, Tensor]:
    """A state dict as in pytorch-fid's file, drawn so that signals neither die nor explode."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", no_download)
        patch.setattr(nn.Module, "load_state_dict", lambda *_: None)
        net = pytorch_fid.inception.fid_inception_v3()
    generator = torch.Generator().manual_seed(0)
    state = net.state_dict()
    for key, value in state.items():
        if value.ndim == 4:
            deviation = (2 / value[0].numel()) ** 0.5
            state[key] = torch.randn(value.shape, generator=generator) * deviation
        elif key.endswith(("bn.bias", "running_mean")):
            state[key] = torch.randn(value.shape, generator=generator) * 0.1
        elif key.endswith(("bn.weight", "running_var")):
            state[key] = torch.rand(value.shape, generator=generator) * 0.4 + 0.8
    return state


def no_download(*_, **__) -> dict:
    return {}


@pytest.fixture(scope="module")
def weights_dir(random_inception, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.save(random_inception, folder / FID_FILE)
    return folder


@pytest.fixture(scope="module")
def picture_files(tmp_path_factory) -> list[Path]:
    """Smooth coloured noise in PNG files, of two sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng, files = np.random.default_rng(1), []
    for index in range(6):
        size = 128 if index % 2 else 512
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
        files.append(folder / f"{index}.png")
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(files[-1])
    return files


def read(path: Path) -> Tensor:
    image = decode_image(path.read_bytes(), path.name)
    return to_unit_range(image, len(image))[None]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def test_kid_nsfw_equals_the_original_graph(reference, kid_net):
    features = kid_net(reference["face224_u8"].float() / 127.5 - 1)
    assert relative_error(features, reference["kid_nsfw"]) < 1e-4


def test_kid_nsfw_has_the_architecture_s_convolutions(kid_net):
    convolutions = [m for m in kid_net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 94
    assert sum(p.numel() for p in kid_net.parameters()) == 21_768_352
    with torch.device("meta"):
        net, x = NsfwInception(), torch.empty(1, 3, 299, 299)
    for conv in net.stem:
        x = conv(x)
        if x.shape[1] in (64, 192):
            x = nn.functional.max_pool2d(x, 3, 2)
    shapes = []
    for block in net.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[:3] == [(256, 35, 35), (288, 35, 35), (288, 35, 35)]
    assert shapes[3:8] == [(768, 17, 17)] * 5
    assert shapes[8:] == [(1280, 8, 8), (2048, 8, 8), (2048, 8, 8)]


def test_fid_inception_equals_pytorch_fid_from_the_files_on(
    random_inception, weights_dir, picture_files, monkeypatch
):
    monkeypatch.setattr(
        pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: random_inception
    )
    package = pytorch_fid.inception.InceptionV3([3])
    # batch by batch of one size: the package stacks whole files
    expected = np.concatenate(
        [get_activations([f], package, batch_size=1, num_workers=0) for f in picture_files]
    )
    net = build_set_net("fid_inception", weights_dir=weights_dir)
    found = torch.cat([net(read(path)) for path in picture_files])
    assert found.std(0).mean() > 0.01  # the random net tells pictures apart
    assert relative_error(found, torch.from_numpy(expected)) < 1e-5
    ours, theirs = (frechet_distance(x[:3], x[3:]) for x in (found.numpy(), expected))
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_fid_inception_never_downloads(weights_dir, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert build_set_net("fid_inception", weights_dir=weights_dir).dim == 2048
    with pytest.raises(FileNotFoundError, match=f"{FID_FILE}.*pytorch-fid.*kid_nsfw"):
        build_set_net("fid_inception", weights_dir=tmp_path)


def test_another_file_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / FID_FILE)
    with pytest.raises(ValueError, match="does not hold the weights of FID's Inception"):
        build_set_net("fid_inception", weights_dir=tmp_path)
    (tmp_path / FID_FILE).write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="not a plain state dict"):
        build_set_net("fid_inception", weights_dir=tmp_path)


def test_batches_do_not_change_features(kid_net):
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(32, 3, 8, 8, generator=generator) * 2 - 1
    images = nn.functional.interpolate(images, 64, mode="bilinear")
    whole = kid_net(images)
    assert relative_error(kid_net(images[:7]), whole[:7]) < 1e-5
    assert relative_error(kid_net(images[31:]), whole[31:]) < 1e-5
    assert relative_error(whole[:1], whole[1:2]) > 0.05


def test_pictures_count_as_the_image_files_they_become(kid_net, picture_files):
    image = read(picture_files[1])
    features = kid_net(image)
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(3)) - 0.5
    nearly = (image + noise * 0.9 * 2 / 255).clamp(-1, 1)
    assert torch.equal(kid_net(nearly), features)
    beyond = torch.where(image == 1, 1.5, torch.where(image == -1, -7.0, image))
    assert torch.equal(kid_net(beyond), features)


def test_half_precision_around_it_changes_nothing(kid_net, picture_files):
    image = read(picture_files[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = kid_net(image)
    assert features.dtype == torch.float32
    assert torch.equal(features, kid_net(image))


def test_the_net_never_trains(kid_net):
    kid_net.train()
    assert not any(module.training for module in kid_net.modules())
    assert not any(parameter.requires_grad for parameter in kid_net.parameters())
    random = build_set_net("fid_inception", pretrained=False).train()
    assert not any(module.training for module in random.modules())


def test_names_say_which_net():
    assert SET_NETS == ("fid_inception", "kid_nsfw")
    assert metric_names("fid_inception") == ("fid", "kid")
    assert metric_names("kid_nsfw") == ("fd_nsfw", "kid_nsfw")
    for wrong in (metric_names, build_set_net):
        with pytest.raises(ValueError, match="no set net 'clip'; there are fid_inception, kid_ns"):
            wrong("clip")
    assert all(name in weights.TABLE for name in SET_NETS)


def test_wrong_pictures_are_explained(kid_net):
    for shape in ((3, 8, 8), (1, 1, 8, 8), (1, 3, 8, 9)):
        with pytest.raises(ValueError, match=r"kid_nsfw: images must be \[B, 3, S, S\]"):
            kid_net(torch.zeros(shape))
