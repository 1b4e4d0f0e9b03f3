from pathlib import Path

import pytest
import torch

from tests.warpgan.hostile import Planted
from warpgan import weights
from warpgan.losses import build_svinet_losses
from warpgan.perception import build_perceptual
from warpgan.perception.resnet_pl import DilatedResNet50, ResNetPl, load_trunk

FILE = Path("ade20k/ade20k-resnet50dilated-ppm_deepsup/encoder_epoch_20.pth")


@pytest.fixture(scope="module")
def trunk() -> DilatedResNet50:
    torch.manual_seed(0)
    return DilatedResNet50().eval()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / FILE).parent.mkdir(parents=True)
    return tmp_path


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_the_file_of_the_table_is_read(trunk, folder):
    state = dict(trunk.state_dict())
    state = {key: value for key, value in state.items() if "num_batches" not in key}
    state["bn1._running_iter"] = torch.ones(1)  # what batch norms of its time also kept
    torch.save(state, folder / FILE)
    net = build_perceptual("resnet_pl", weights_dir=folder)
    assert net.name == "resnet_pl" and not any(p.requires_grad for p in net.parameters())
    assert not any(module.training for module in net.train().modules())
    a, b = pictures(2, 2, 3, 32, 40)
    found = net.distance(a, b)
    expected = ResNetPl("again", trunk).distance(a, b)
    assert found.shape == (2,) and torch.equal(found, expected) and (found > 0).all()
    assert net.distance(a, a).abs().max() == 0


def test_without_the_file_the_message_says_where_it_goes(folder, monkeypatch):
    monkeypatch.delenv(weights.ROOT_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match="encoder_epoch_20.pth"):
        build_perceptual("resnet_pl", weights_dir=folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("layer3.5.conv2.weight"), "layer3.5.conv2.weight"),
        (lambda state: state.pop("layer4.2.bn3.running_var"), "layer4.2.bn3.running_var"),
        (lambda state: state.update({"cbr.0.weight": torch.zeros(1)}), "cbr.0.weight"),
        (lambda state: state.update({"conv1.weight": torch.zeros(64, 3, 7, 7)}), "conv1.weight"),
        (
            lambda state: state.update({"bn1.bias": torch.zeros(64, dtype=torch.int64)}),
            "bn1.bias",
        ),
    ],
)
def test_another_net_is_refused_by_name(trunk, folder, change, named):
    state = dict(trunk.state_dict())
    change(state)
    torch.save(state, folder / FILE)
    with pytest.raises(ValueError, match=f"resnet50dilated encoder: 1 entries .* first {named}"):
        load_trunk(folder / FILE)


@pytest.mark.parametrize("kind", ["bytes", "empty", "list", "cut"])
def test_damaged_files_are_explained(trunk, folder, kind):
    path = folder / FILE
    if kind == "bytes":
        path.write_bytes(bytes(range(256)) * 40)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "list":
        torch.save([torch.zeros(3)], path)
    else:
        torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="encoder_epoch_20.pth"):
        load_trunk(path)


def test_a_planted_pickle_is_never_run(folder):
    target = folder / "planted"
    torch.save({"conv1.weight": Planted(target)}, folder / FILE)
    with pytest.raises(ValueError, match="encoder_epoch_20.pth"):
        load_trunk(folder / FILE)
    assert not target.exists()


def test_dilation_keeps_the_resolution_and_widens_the_view(trunk):
    levels = trunk(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (256, 16, 24),
        (512, 8, 12),
        (1024, 8, 12),
        (2048, 8, 12),
    ]


def test_pictures_are_normalised_as_imagenet_s(trunk):
    fed = []
    hook = trunk.register_forward_pre_hook(lambda module, x: fed.append(x[0]))
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    ResNetPl("resnet_pl", trunk).levels((grey + 0.1) * 2 - 1)
    hook.remove()
    expected = (0.1 / torch.tensor([0.229, 0.224, 0.225])).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    torch.testing.assert_close(fed[0], expected, atol=1e-5, rtol=0)


def test_a_uniform_weight_changes_nothing(trunk):
    net = ResNetPl("resnet_pl", trunk)
    a, b = pictures(2, 2, 3, 32, 32)
    whole = net.distance(a, b)
    torch.testing.assert_close(net.distance(a, b, weight=torch.full((2, 1, 32, 32), 0.5)), whole)


def test_a_dry_run_of_the_losses_needs_no_file(tmp_path):
    built = build_svinet_losses(
        weights={"perceptual": 30},
        perceptual="resnet_pl",
        identity="arcface_irse50",
        identity_crop="aligned",
        weights_dir=tmp_path,
        pretrained=False,
    )
    assert isinstance(built.losses.terms["perceptual"].net, ResNetPl)
