"""Building, extensions, precision, fake devices, kernels of the synthesis blocks."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import eg3d
from eg3d.layers import modulated_convolve
from eg3d.superresolution import OFFICIAL_VARIANTS
from tests.eg3d.conftest import MINI, build, cameras, with_options

BACKDROP = {"backdrop_radius": 0.6, "backdrop_centre": [0, 0, 0.2]}
EXTENSIONS = {
    "learned_maps": True,
    "const_resolution": 8,
    "backbone_channels": [12, 8],
    "mapping_skip": True,
    "density_gain": 30.0,
    "density_bias": -2.5,
    "box_centre": [0, 0, 0.2],
    **BACKDROP,
}


def run(generator, batch=2, kernels="auto"):
    torch.manual_seed(5)
    ws = torch.randn(batch, generator.num_ws, generator.w_dim)
    with torch.no_grad(), eg3d.kernels(kernels):
        planes = generator.planes(ws)
        return planes, generator.render(planes, ws, cameras(batch))


def test_official_attributes(generator):
    assert (generator.z_dim, generator.c_dim, generator.w_dim) == (8, 25, 16)
    assert (generator.num_ws, generator.img_resolution) == (6, 32)
    assert generator.neural_rendering_resolution == 8
    assert generator.init_kwargs == MINI
    assert torch.equal(generator.mean_latent(), torch.zeros(16))


@pytest.mark.parametrize("name", [*OFFICIAL_VARIANTS, "SuperresolutionGeneral"])
def test_super_resolution_sizes(name):
    variant = OFFICIAL_VARIANTS.get(name)
    side = 32 if variant is None else variant.output_resolution
    kwargs = with_options(
        img_resolution=side, rendering={"superresolution_module": f"training.sr.{name}"}
    )
    with torch.device("meta"):
        generator = eg3d.build_generator(kwargs)
        features, ws = torch.empty(2, 6, 48, 48), torch.empty(2, 6, 16)
        image = generator.super_resolve(features[:, :3], features, ws)
    assert image.shape == (2, 3, side, side)
    assert ("superresolution.resample_filter" in generator.state_dict()) == (
        name not in ("SuperresolutionHybrid8XDC", "SuperresolutionGeneral")
    )


def test_super_resolution_of_a_patch_equals_the_whole(generator):
    torch.manual_seed(0)
    features, ws = torch.randn(1, 6, 16, 16), torch.randn(1, 6, 16)
    with torch.no_grad():
        whole = generator.super_resolve(features[:, :3], features, ws)
        cut = features[:, :, 2:14, 2:14]
        patch = generator.super_resolve(cut[:, :3], cut, ws, patch=True)
    assert patch.shape == (1, 3, 24, 24)
    inner = slice(10, -10)
    torch.testing.assert_close(patch[:, :, inner, inner], whole[:, :, 14:18, 14:18])


def test_extensions_add_tensors_only_when_on():
    plain = set(build().state_dict())
    assert not [k for k in plain if "learned_map" in k or "skip" in k or "backdrop" in k]
    full = set(build(with_options(extensions=EXTENSIONS)).state_dict())
    assert {k.rsplit(".", 1)[-1] for k in full if "learned_map" in k} == {"learned_map"}
    assert {k for k in full if "backdrop" in k} == {
        "backdrop.affine.weight",
        "backdrop.affine.bias",
    }
    assert {k for k in full if "skip" in k} == {
        "backbone.mapping.skip.weight",
        "backbone.mapping.skip.bias",
    }
    assert "backbone.synthesis.b8.const" in full and "backbone.synthesis.b4.const" not in full


def test_neutral_extensions_change_nothing():
    """Zero maps, zero skip, gain 1, bias 0 and a centred box are the official generator."""
    plain = build()
    extended = build(with_options(extensions={"learned_maps": True, "mapping_skip": True}))
    state = extended.state_dict()
    for key in state:
        if "learned_map" in key or "skip" in key:
            state[key].zero_()
    state.update(plain.state_dict())
    extended.load_state_dict(state)
    z = torch.randn(2, 8)
    with torch.no_grad():
        a, b = (g(z, cameras(2)).image for g in (plain, extended))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_box_centre_moves_the_scene():
    """Moving box and camera together leaves the picture as it was."""
    shift = (0.1, -0.2, 0.3)
    plain, moved = build(), build(with_options(extensions={"box_centre": shift}))
    planes, out = run(plain)
    camera = cameras(2)
    camera[:, 3:12:4] += torch.tensor(shift)
    torch.manual_seed(5)
    ws = torch.randn(2, 6, 16)
    with torch.no_grad():
        again = moved.render(planes, ws, camera)
    torch.testing.assert_close(again.image, out.image, atol=1e-4, rtol=1e-4)


def test_density_gain_and_bias():
    planes, out = run(build())
    _, dense = run(build(with_options(extensions={"density_gain": 100.0})))
    _, empty = run(build(with_options(extensions={"density_bias": -50.0})))
    assert (dense.opacity > out.opacity).all()
    assert (empty.opacity < 1e-6).all()


@pytest.mark.parametrize("kernels", ["torch", "numba"])
def test_backdrop_shows_where_the_volume_is_empty(kernels):
    generator = build(with_options(extensions={**BACKDROP, "density_bias": -50.0}))
    _, out = run(generator, kernels=kernels)
    origins, directions = eg3d.ray_directions(cameras(2), 8)
    centre = torch.tensor([0, 0, 0.2])
    points = origins + directions * out.ray_length.flatten(1)[..., None]
    # The far side of the sphere, beyond the centre.
    torch.testing.assert_close((points - centre).norm(dim=-1), torch.full((2, 64), 0.6))
    assert ((points - centre) * directions).sum(-1).min() > 0
    assert out.features.std() > 0.01
    with pytest.raises(ValueError, match="pass ws"):
        generator.render_rays(torch.zeros(2, 3, 8, 16, 16), origins, directions)


def test_backdrop_gives_way_to_an_opaque_volume():
    plain = build(with_options(extensions={"density_gain": 1e4}))
    backed = build(with_options(extensions={"density_gain": 1e4, **BACKDROP}))
    backed.load_state_dict(plain.state_dict(), strict=False)
    (_, a), (_, b) = run(plain), run(backed)
    torch.testing.assert_close(a.features, b.features, atol=1e-3, rtol=0)
    torch.testing.assert_close(a.ray_length, b.ray_length, atol=1e-3, rtol=0)


def test_truncation_and_mean(generator):
    z = torch.randn(3, 8)
    camera = cameras(3)
    mapping = generator.backbone.mapping
    with torch.no_grad():
        mapping.w_avg.normal_()
        full = generator.mapping(z, camera)
        none = generator.mapping(z, camera, truncation_psi=0.0)
        part = generator.mapping(z, camera, truncation_psi=0.5, truncation_cutoff=2)
        torch.testing.assert_close(none, mapping.w_avg.expand_as(none))
        torch.testing.assert_close(part[:, :2], (full[:, :2] + mapping.w_avg) / 2)
        assert torch.equal(part[:, 2:], full[:, 2:])
        before = mapping.w_avg.clone()
        generator.mapping(z, camera, update_average=True)
        expected = before * 0.998 + full[:, 0].mean(0) * 0.002
        torch.testing.assert_close(mapping.w_avg, expected)


def test_conditioning_camera():
    z = torch.randn(2, 8)
    options = ({}, {"c_gen_conditioning_zero": True}, {"c_scale": 0.0})
    for rendering, depends in zip(options, (True, False, False), strict=True):
        generator = build(with_options(rendering=rendering))
        with torch.no_grad():
            a, b = (generator.mapping(z, cameras(2) * scale) for scale in (1.0, -2.0))
        assert torch.allclose(a, b) != depends


def test_one_sample_equals_the_batch():
    """Folded weights (one sample) and scaled activations (more) are the same arithmetic."""
    torch.manual_seed(0)
    x, styles = torch.randn(3, 4, 6, 6), torch.randn(3, 4)
    weight = torch.randn(5, 4, 3, 3)
    for up in (1, 2):
        for demodulate in (True, False):
            options = dict(up=up, demodulate=demodulate, gain=1.3)
            together = modulated_convolve(x, weight, styles, **options)
            for i in range(3):
                alone = modulated_convolve(x[i : i + 1], weight, styles[i : i + 1], **options)
                torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_synthesis_kernels_equal_tensor_operators():
    kwargs = with_options(
        sr_num_fp16_res=4,
        conv_clamp=1.0,
        rendering={"superresolution_noise_mode": "const"},
        extensions={"plane_resolution": 64, "backbone_channels": [12, 10, 8, 8, 6]},
    )
    generator = build(kwargs)
    (planes, out), (fast_planes, fast_out) = (run(generator, kernels=k) for k in ("torch", "auto"))
    torch.testing.assert_close(planes, fast_planes, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.image, fast_out.image, atol=2e-4, rtol=1e-3)


def test_strips_change_nothing(generator, monkeypatch):
    import eg3d.fused_synthesis as fused

    monkeypatch.setattr(fused, "STRIP_FLOATS", 1)
    planes, out = run(generator)
    monkeypatch.setattr(fused, "STRIP_FLOATS", 2**30)
    whole_planes, whole = run(generator)
    torch.testing.assert_close(planes, whole_planes, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.image, whole.image, atol=1e-5, rtol=1e-4)


def test_forced_kernel_says_why_not(generator):
    ws = torch.randn(1, 6, 16)
    with eg3d.kernels("numba"), pytest.raises(ValueError, match="needs a gradient"):
        generator.planes(ws.requires_grad_())
    with pytest.raises(ValueError, match="expected one of"), eg3d.kernels("cuda"):
        pass


@pytest.mark.parametrize("extensions", [{}, EXTENSIONS])
def test_autocast_keeps_sensitive_parts_in_float32(extensions):
    generator = build(with_options(extensions=extensions))
    z, camera = torch.randn(2, 8), cameras(2)
    with torch.no_grad():
        reference = generator(z, camera)
    kinds = {}
    for name, module in generator.named_modules():
        module.register_forward_hook(
            lambda m, i, o, n=name: kinds.update({n: getattr(o, "dtype", None)})
        )
    with torch.autocast("cpu", torch.bfloat16):
        ws = generator.mapping(z, camera)
        planes = generator.planes(ws)
        out = generator.render(planes, ws, camera)
    out.image.float().square().mean().backward()
    assert {ws.dtype, planes.dtype, out.ray_length.dtype, out.image.dtype} == {torch.float32}
    assert kinds["backbone.mapping"] == torch.float32
    assert {kinds[n] for n in kinds if n.endswith("affine")} == {torch.float32}
    assert {kinds[n] for n in kinds if n.endswith("conv1")} == {torch.bfloat16}
    assert (out.image - reference.image).abs().mean() < 0.1 * reference.image.std()
    assert all(p.grad.isfinite().all() for p in generator.parameters() if p.grad is not None)


@pytest.mark.parametrize("extensions", [{}, EXTENSIONS])
@pytest.mark.parametrize("automatic", [False, True])
def test_runs_on_a_fake_cuda_device(extensions, automatic):
    limits = {"ray_start": "auto", "ray_end": "auto"} if automatic else {}
    kwargs = with_options(extensions=extensions, rendering=limits)
    with FakeTensorMode(), torch.no_grad():
        with torch.device("cuda"):
            generator = eg3d.build_generator(kwargs)
        z, camera = torch.empty(2, 8, device="cuda"), torch.empty(2, 3, 25, device="cuda")
        out = generator(z, camera)
        for name in out.__dataclass_fields__:
            assert getattr(out, name).device.type == "cuda", name
        planes = torch.empty(2, 3, 8, 16, 16, device="cuda")
        samples = generator.query(planes, torch.empty(2, 5, 3, device="cuda"))
        assert samples.colour.device.type == "cuda"
        # A buffer left behind must be noticed.
        layer = generator.superresolution.block0.conv0
        layer.weight = torch.nn.Parameter(torch.empty(layer.weight.shape))
        with pytest.raises(RuntimeError, match="device"):
            generator(z, camera)


def test_backward_runs_on_meta():
    with torch.device("meta"):
        generator = eg3d.build_generator(with_options(extensions=EXTENSIONS))
        out = generator(torch.empty(2, 8), torch.empty(2, 25))
        (out.image.mean() + out.ray_length.mean()).backward()
    assert generator.backbone.synthesis.b8.const.grad.device.type == "meta"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"extensions": {"learned_map": True}}, KeyError, "learned_map"),
        ({"rendering": {"ray_strat": 2.0}}, KeyError, "ray_strat"),
        ({"rendering": {"ray_start": "auto"}}, ValueError, "both or none"),
        ({"rendering": {"clamp_mode": "exp"}}, ValueError, "clamp_mode"),
        ({"rendering": {"depth_clamp": "none"}}, ValueError, "depth_clamp"),
        ({"rendering": {"depth_resolution": 2}}, ValueError, "4 or more"),
        ({"rendering": {"superresolution_module": "os.system"}}, ValueError, "os.system"),
        ({"img_resolution": 100}, ValueError, "100"),
        ({"img_channels": 4}, ValueError, "img_channels"),
        ({"chanel_base": 1}, KeyError, "chanel_base"),
        ({"extensions": {"plane_resolution": 20}}, ValueError, "20"),
    ],
)
def test_wrong_configurations_are_named(change, error, match):
    with pytest.raises(error, match=match):
        eg3d.build_generator(with_options(**change))


def test_missing_sizes_are_named():
    kwargs = {k: v for k, v in MINI.items() if k != "w_dim"}
    with pytest.raises(KeyError, match="w_dim"):
        eg3d.build_generator(kwargs)
    with pytest.raises(ValueError, match="plane_axes"):
        eg3d.build_generator(MINI, plane_axes="panohead")
