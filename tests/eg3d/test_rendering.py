"""Rendering: vectorised code against a slow reference, chunks, cameras, gradients, options."""

import math

import pytest
import torch

import eg3d
from eg3d.sampling import importance_depths
from tests.eg3d.conftest import build, cameras, with_options


def scene(generator, batch=2, seed=1):
    torch.manual_seed(seed)
    ws = torch.randn(batch, generator.num_ws, generator.w_dim)
    with torch.no_grad():
        return ws, generator.planes(ws) * 3


def slow_ray(generator, planes, origin, direction, depths):
    """One ray sample by sample, with python numbers, from the definition."""
    densities, colours = [], []
    for z in depths:
        point = (origin + z * direction)[None, None]
        sample = generator.query(planes[None], point)
        densities.append(sample.density.item())
        colours.append(sample.colour[0, 0])
    light, total, colour, length = 1.0, 0.0, 0.0, 0.0
    weights = []
    for i in range(len(depths) - 1):
        raw = (densities[i] + densities[i + 1]) / 2
        alpha = 1 - math.exp(-math.log1p(math.exp(raw - 1)) * (depths[i + 1] - depths[i]))
        weight = alpha * light
        light *= 1 - alpha + 1e-10
        weights.append(weight)
        total += weight
        colour = colour + weight * (colours[i] + colours[i + 1]) / 2
        length += weight * (depths[i] + depths[i + 1]) / 2
    return weights, total, colour, length


def slow_fine(depths, weights, us):
    """Importance samples from the definition, one at a time."""
    n = len(depths)
    wide = [max(weights[max(i - 1, 0) : i + 1]) for i in range(n)]
    pdf = [(wide[i] + wide[i + 1]) / 2 + 0.01 for i in range(n - 1)][1:-1]
    pdf = [p + 1e-5 for p in pdf]
    cdf = [0.0]
    for p in pdf:
        cdf.append(cdf[-1] + p / sum(pdf))
    edges = [(a + b) / 2 for a, b in zip(depths[:-1], depths[1:], strict=True)]
    found = []
    for u in us:
        index = sum(c <= u for c in cdf)
        low, high = max(index - 1, 0), min(index, len(cdf) - 1)
        span = cdf[high] - cdf[low]
        span = 1 if span < 1e-5 else span
        found.append(edges[low] + (u - cdf[low]) / span * (edges[high] - edges[low]))
    return found


@pytest.mark.parametrize("kernels", eg3d.KERNEL_CHOICES)
def test_rays_equal_slow_reference(generator, kernels):
    _, planes = scene(generator, batch=1)
    origins, directions = eg3d.ray_directions(cameras(1), 4)
    with torch.no_grad(), eg3d.kernels(kernels):
        bundle = generator.render_rays(planes, origins, directions)
    step = (3.3 - 2.25) / 5
    coarse = [2.25 + step * (i + 0.5) for i in range(6)]
    for ray in (0, 5, 10):
        o, d = origins[0, ray], directions[0, ray]
        with torch.no_grad():
            weights, *_ = slow_ray(generator, planes[0], o, d, coarse)
            fine = slow_fine(coarse, weights, [(i + 0.5) / 5 for i in range(5)])
            weights, total, colour, length = slow_ray(
                generator, planes[0], o, d, sorted(coarse + fine)
            )
        close = dict(rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bundle.weights[0, ray], torch.tensor(weights), **close)
        torch.testing.assert_close(bundle.opacity[0, ray].item(), total, **close)
        torch.testing.assert_close(bundle.features[0, ray], colour * 2 - 1, **close)
        torch.testing.assert_close(bundle.ray_length[0, ray].item(), length / total, **close)


def test_importance_samples_follow_unsorted_numbers():
    torch.manual_seed(0)
    depths = torch.linspace(2, 3, 8)[None]
    weights, u = torch.rand(1, 7), torch.rand(1, 20)
    fine = importance_depths(depths, weights, u)
    expected = slow_fine(depths[0].tolist(), weights[0].tolist(), u[0].tolist())
    torch.testing.assert_close(fine[0], torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("clamp", ["batch", "sample"])
def test_chunks_change_nothing(clamp):
    generator = build(with_options(rendering={"depth_clamp": clamp}))
    ws, planes = scene(generator)
    camera = cameras(2)
    with torch.no_grad(), eg3d.kernels("torch"):
        whole = generator.render(planes, ws, camera, chunk=10**6)
        parts = generator.render(planes, ws, camera, chunk=7)
    for name in whole.__dataclass_fields__:
        torch.testing.assert_close(getattr(whole, name), getattr(parts, name), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("kernels", ["torch", "numba"])
def test_several_cameras_equal_single_ones(generator, kernels):
    ws, planes = scene(generator)
    camera = cameras(6).reshape(2, 3, 25)
    with torch.no_grad(), eg3d.kernels(kernels):
        together = generator.render(planes, ws, camera)
        for view in range(3):
            alone = generator.render(planes, ws, camera[:, view])
            for name in alone.__dataclass_fields__:
                torch.testing.assert_close(
                    getattr(together, name)[:, view], getattr(alone, name), atol=1e-5, rtol=1e-5
                )


def test_planes_are_not_copied_for_more_views(generator, monkeypatch):
    """The look-up must see planes of batch 1 whatever the number of cameras."""
    seen = []
    import eg3d.renderer as renderer

    original = renderer.sample_planes
    monkeypatch.setattr(
        renderer, "sample_planes", lambda p, *a, **k: (seen.append(p), original(p, *a, **k))[1]
    )
    ws, planes = scene(generator, batch=1)
    with eg3d.kernels("torch"), torch.no_grad():
        generator.render(planes, ws, cameras(3)[None])
    assert {p.shape[0] for p in seen} == {1}
    assert {p.data_ptr() for p in seen} == {planes.data_ptr()}


def test_gradcheck_to_planes_camera_and_latent(generator):
    generator = generator.double()
    ws, planes = scene(build(), batch=1)
    planes = planes.double().requires_grad_()
    camera = cameras(1).double().requires_grad_()
    ws = ws.double().requires_grad_()
    # Fixed depths: the importance samples carry no gradient by design.
    depths = torch.linspace(2.3, 3.2, 7, dtype=torch.float64).expand(1, 4, 7)

    def render(planes, camera, ws):
        origins, directions = eg3d.ray_directions(camera, 2)
        bundle = generator.render_rays(planes, origins, directions, depths=depths)
        features = bundle.features.mT.unflatten(2, (2, 2))
        image = generator.super_resolve(features[:, :3], features, ws)
        return bundle.ray_length, bundle.opacity, image[:, :, ::16, ::16]

    assert torch.autograd.gradcheck(
        render, (planes, camera, ws), eps=1e-6, atol=1e-5, fast_mode=True
    )


def test_gradients_reach_every_parameter(generator):
    generator.rendering_kwargs["superresolution_noise_mode"] = "const"
    camera = cameras(2).requires_grad_()
    z = torch.randn(2, 8, requires_grad=True)
    out = generator(z, camera)
    (out.image.square().mean() + out.ray_length.mean() + out.opacity.mean()).backward()
    for name, tensor in [("z", z), ("camera", camera), *generator.named_parameters()]:
        assert tensor.grad is not None and tensor.grad.isfinite().all(), name
        assert tensor.grad.abs().sum() > 0, name


def test_deterministic_unless_a_generator_is_given(generator):
    ws, planes = scene(generator)
    camera = cameras(2)

    def image(seed=None):
        source = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return generator.render(planes, ws, camera, generator=source).image_raw

    assert torch.equal(image(), image())
    assert torch.equal(image(3), image(3))
    assert not torch.equal(image(3), image(4))
    assert not torch.equal(image(), image(3))


def test_noise_modes(generator):
    ws, _ = scene(generator)
    with torch.no_grad():
        const, none = generator.planes(ws), generator.planes(ws, noise_mode="none")
        first, second = (
            generator.planes(ws, noise_mode="random", generator=torch.Generator().manual_seed(seed))
            for seed in (0, 0)
        )
    assert torch.equal(first, second)
    assert not torch.allclose(const, none) and not torch.allclose(const, first)
    with pytest.raises(ValueError, match="noise_mode"):
        generator.planes(ws, noise_mode="loud")


@pytest.mark.parametrize(
    "rendering",
    [
        {"ray_start": "auto", "ray_end": "auto"},
        {"disparity_space_sampling": True},
        {"clamp_mode": "relu"},
        {"white_back": True},
        {"depth_resolution_importance": 0},
        {"box_warp": 0.7, "depth_clamp": "batch"},
    ],
)
@pytest.mark.parametrize("plane_axes", ["released", "fixed"])
def test_kernel_equals_tensor_operators(rendering, plane_axes):
    generator = build(with_options(rendering=rendering), plane_axes=plane_axes)
    ws, planes = scene(generator)
    outputs = []
    for kernels in ("torch", "numba"):
        with torch.no_grad(), eg3d.kernels(kernels):
            outputs.append(generator.render(planes, ws, cameras(2)))
    for name in outputs[0].__dataclass_fields__:
        a, b = (getattr(out, name) for out in outputs)
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_density_noise_needs_a_generator():
    generator = build(with_options(rendering={"density_noise": 2.0}))
    plain = build()
    ws, planes = scene(generator)
    with torch.no_grad():
        quiet = generator.render(planes, ws, cameras(2))
        assert torch.equal(quiet.image, plain.render(planes, ws, cameras(2)).image)
        fixed = dict(jitter=0.5, u=torch.linspace(0, 1, 5))
        noisy, again = (
            generator.render(
                planes, ws, cameras(2), generator=torch.Generator().manual_seed(1), **fixed
            )
            for _ in range(2)
        )
        assert torch.equal(noisy.opacity, again.opacity)
        still = generator.render(planes, ws, cameras(2), **fixed)
        assert not torch.allclose(noisy.opacity, still.opacity)


def test_shapes_are_checked(generator):
    ws, planes = scene(generator)
    with pytest.raises(ValueError, match=r"expected \[B, 25\]"):
        generator.render(planes, ws, torch.zeros(2, 16))
    with pytest.raises(ValueError, match="first axes"):
        generator.render(planes, ws, cameras(3))
    with pytest.raises(ValueError, match=r"ws has shape"):
        generator.planes(ws[:, 0])


def test_rays_are_the_same_under_autocast():
    camera = cameras(2)
    exact = eg3d.ray_directions(camera, 16)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = eg3d.ray_directions(camera, 16)
    for one, other in zip(exact, under_autocast, strict=True):
        assert other.dtype == torch.float32 and torch.equal(one, other)
