"""The shipped nets against the original packages, their ranges, precision and devices.

The reference vectors come from `scripts/reference_nets.py`, which shares no network code with the
package.
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from warpgan import cameras
from warpgan.perception import (
    IDENTITY_NETS,
    PERCEPTUAL_NETS,
    build_identity,
    build_perceptual,
)
from warpgan.perception.pixels import pixel_range
from warpgan.perception.storage import quantise, read_net, write_net

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "perception_reference.safetensors"
TORCH_IDENTITY_NETS = [name for name in IDENTITY_NETS if name != "arcface_onnx"]


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def photo(reference) -> torch.Tensor:
    """A real face at 96 px, cropped tight, [1, 3, 96, 96] in [-1, 1]."""
    return reference["face96_u8"].float() / 127.5 - 1


@pytest.mark.parametrize(("name", "size"), [("id_dlib", 150), ("id_faceres", 224)])
def test_identity_trunk_equals_the_original_graph(reference, name, size):
    net = build_identity(name)
    face = reference[f"face{size}_u8"].float() / 127.5 - 1
    embedding = net.trunk(net.pixels(face))
    error = (embedding - reference[name]).norm() / reference[name].norm()
    assert error < 3e-3


@pytest.mark.parametrize(
    ("name", "tolerance"), [("perc_efficientnet", 1e-5), ("perc_vgg16hed", 1e-2)]
)
def test_pyramid_equals_the_original_graph(reference, photo, name, tolerance):
    net = build_perceptual(name)
    levels = net.pyramid(net.pixels(photo))
    assert len(levels) == 4
    for index, level in enumerate(levels):
        expected = reference[f"{name}.{index}"]
        error = (level.mean((2, 3)) - expected).norm() / expected.norm()
        assert error < tolerance, index


def test_ranges_put_black_and_white_where_each_net_expects_them():
    images = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    expected = {
        "id_dlib": [-122.782 / 256, (255 - 122.782) / 256],
        "id_faceres": [-123.7, 255 - 123.7],
        "perc_vgg16hed": [-122.67892, 255 - 122.67892],
        "perc_efficientnet": [-0.498 / 0.502, 0.502 / 0.502],
    }
    for name, (black, white) in expected.items():
        red = pixel_range(name)(images)[:, 0, 0, 0]
        torch.testing.assert_close(red, torch.tensor([black, white]), atol=0, rtol=2e-3)


def test_pad_of_odd_sizes_keeps_the_strides():
    net = build_perceptual("perc_efficientnet")
    sides = [level.shape[-1] for level in net.pyramid(torch.zeros(1, 3, 75, 75))]
    assert sides == [38, 19, 10, 5]


def test_storage_rounds_by_at_most_half_a_step(tmp_path):
    weight = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    weight[2] *= 100
    parts = {"w" + suffix: part for suffix, part in quantise(weight).items()}
    write_net(tmp_path / "n.safetensors", {**parts, "b": weight[0]}, metadata={"net": "n"})
    read = read_net(tmp_path / "n.safetensors")
    assert sorted(read) == ["b", "w"]
    steps = (weight.flatten(1).amax(1) - weight.flatten(1).amin(1)) / 255
    errors = (read["w"] - weight).abs().flatten(1).amax(1)
    assert (errors <= 0.5001 * steps + 1e-6).all()
    assert (read["b"] - weight[0]).abs().max() < 1e-3


def test_a_net_is_written_to_the_same_bytes(tmp_path):
    path, written = tmp_path / "n.safetensors", set()
    tensors = {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(1)}
    for _ in range(8):
        write_net(path, tensors, metadata={"net": "n", "origin": "caf\u00e9", "licence": "MIT"})
        written.add(path.read_bytes())
    assert len(written) == 1
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"licence": "MIT", "net": "n", "origin": "caf\u00e9"}
    assert torch.equal(read_net(path)["w"], tensors["w"])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_storage_refuses_what_half_precision_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="overflow"):
        write_net(tmp_path / "n.safetensors", {"w": torch.tensor([7e4]).double()}, metadata={})


def test_a_file_of_another_net_is_refused():
    from warpgan import weights
    from warpgan.perception.dlib_resnet import DlibResNet
    from warpgan.perception.storage import load_into

    with pytest.raises(ValueError, match="DlibResNet"):
        load_into(DlibResNet(), weights.resolve("id_faceres"))


@pytest.mark.parametrize("name", ["id_dlib", "id_faceres"])
def test_identity_keeps_a_person_and_tells_a_cat(photo, name):
    from skimage import data

    net = build_identity(name, crop="legacy")
    # the legacy window is the middle of the picture: surround the tight crop accordingly
    framed = F.pad(F.interpolate(photo, 188, mode="bilinear"), (32, 36, 35, 33), mode="reflect")
    cat = torch.from_numpy(data.chelsea()[:, 80:380].copy()).permute(2, 0, 1)[None].float()
    cat = F.interpolate(cat / 127.5 - 1, 256, mode="bilinear", antialias=True)
    darker = (framed * 0.7 - 0.1).clamp(-1, 1)
    with torch.no_grad():
        person, dark, mirrored, animal = net(torch.cat([framed, darker, framed.flip(3), cat]))
    assert person.norm() == pytest.approx(1, abs=1e-5)
    for same in (dark, mirrored):
        assert person @ same > 0.9
        assert person @ same > person @ animal + 0.03


def test_identity_net_never_trains(photo):
    net = build_identity("arcface_irse50", crop="legacy", pretrained=False).train()
    assert not any(module.training for module in net.modules())
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(net(photo), net(photo))


def test_distance_is_one_minus_the_cosine_and_has_gradients():
    generator = torch.Generator().manual_seed(1)
    a = (torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1).requires_grad_()
    b = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    label = cameras.look_at([0.0, 25.0], [0.0, -5.0])
    other = cameras.look_at([10.0, 5.0], [0.0, 5.0])
    net = build_identity("id_dlib")
    distance = net.distance(a, b, cameras_a=label, cameras_b=other)
    expected = 1 - F.cosine_similarity(net(a, label), net(b, other))
    torch.testing.assert_close(distance, expected)
    distance.sum().backward()
    assert a.grad.isfinite().all() and a.grad.abs().amax((1, 2, 3)).gt(0).all()


@pytest.mark.parametrize("name", ["perc_efficientnet", "perc_vgg16hed"])
def test_perceptual_distance_orders_changes(photo, name):
    net = build_perceptual(name)
    soft = F.avg_pool2d(photo, 3, 1, 1, count_include_pad=False)
    softer = F.avg_pool2d(photo, 9, 1, 4, count_include_pad=False)
    changed = torch.cat([photo, soft, softer, photo.roll(1, 3), photo.flip(3)])
    with torch.no_grad():
        same, blur, more_blur, shift, flip = net.distance(photo.expand_as(changed), changed)
    assert same == 0
    assert 0 < blur < more_blur < 4
    assert shift < flip


@pytest.mark.parametrize("name", ["perc_efficientnet", "perc_vgg16hed"])
def test_perceptual_distance_is_per_image_and_differentiable(name):
    generator = torch.Generator().manual_seed(2)
    a = (torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1).requires_grad_()
    b = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    net = build_perceptual(name)
    together = net.distance(a, b)
    apart = torch.cat([net.distance(a[i : i + 1], b[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart)
    together.sum().backward()
    assert a.grad.isfinite().all() and a.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["id_dlib", "perc_efficientnet"])
def test_autocast_changes_nothing(photo, name):
    if name == "id_dlib":
        net = build_identity(name, crop="legacy")
        run = lambda x: net(x)  # noqa: E731
    else:
        net = build_perceptual(name)
        run = lambda x: net.distance(x, x.flip(3))  # noqa: E731
    expected = run(photo)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(photo)
        rounded = run(photo.bfloat16())
    assert found.dtype == rounded.dtype == torch.float32
    assert torch.equal(found, expected)
    assert not torch.equal(rounded, expected)


class OneDevice(TorchDispatchMode):
    """Fails on any operator whose tensors of one axis or more are not all on one device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        leaves = torch.utils._pytree.tree_leaves((args, kwargs, out))
        devices = {x.device.type for x in leaves if isinstance(x, torch.Tensor) and x.dim()}
        assert len(devices) < 2, f"{func} mixes {devices}"
        return out


def on_fake_cuda(net, side, label_count=0):
    """Runs a net on tensors that claim to be on a GPU."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for module in net.modules():
            for table in (module._parameters, module._buffers):
                for key, value in table.items():
                    if value is not None:
                        fake = mode.from_tensor(value.detach()).to("cuda")
                        table[key] = (
                            torch.nn.Parameter(fake, False) if table is module._parameters else fake
                        )
        images = torch.empty(2, 3, side, side, device="cuda")
        label = torch.empty(2, 25, device="cuda")
        with OneDevice():
            return net(images, label) if label_count else net(images, images)


@pytest.mark.parametrize("crop", ["aligned", "legacy"])
@pytest.mark.parametrize("name", TORCH_IDENTITY_NETS)
def test_identity_runs_on_fake_cuda(name, crop):
    out = on_fake_cuda(build_identity(name, crop=crop, pretrained=False), 256, label_count=2)
    assert out.device.type == "cuda" and out.shape[0] == 2


@pytest.mark.parametrize("name", PERCEPTUAL_NETS)
def test_perceptual_runs_on_fake_cuda(name):
    out = on_fake_cuda(build_perceptual(name, pretrained=False), 64)
    assert out.device.type == "cuda" and out.shape == (2,)


def test_fake_cuda_notices_a_tensor_left_behind():
    net = build_identity("id_dlib", pretrained=False)
    kept = net.pixels.shift
    net.pixels.register_forward_pre_hook(lambda module, x: (x[0] + kept,))
    with pytest.raises((AssertionError, RuntimeError)):
        on_fake_cuda(net, 128, label_count=2)


def test_backward_runs_on_meta():
    net = build_identity("id_dlib").to("meta")
    images = torch.empty(2, 3, 128, 128, device="meta", requires_grad=True)
    net(images, torch.empty(2, 25, device="meta")).sum().backward()
    assert images.grad.shape == images.shape
