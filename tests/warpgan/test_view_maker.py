import math

import pytest
import torch
from torch import nn

from tests.warpgan.evaluation_world import build_encoder, build_generator
from tests.warpgan.view_world import SIZE, build_maker
from warpgan.cameras import look_at, yaw_pitch
from warpgan.pose import PoseDistribution
from warpgan.view_maker import UniformPoses, ViewMaker


@pytest.fixture(scope="module")
def maker() -> ViewMaker:
    torch.set_num_threads(1)
    return build_maker()


@pytest.fixture
def photos() -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(3)
    return torch.rand(2, 3, SIZE, SIZE, generator=draws) * 2 - 1, look_at([0.0, 20.0], [0.0, 5.0])


class RecordingEncoder(nn.Module):
    """Remembers what it saw, answers with fixed codes."""

    def __init__(self, ws: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("ws", ws)
        self.num_ws, self.w_dim = ws.shape
        self.seen: list[torch.Tensor] = []
        self.eval()

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        self.seen.append(photo)
        return self.ws.expand(len(photo), -1, -1)


def tensors(views) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(views).items() if name != "names"}


def test_several_novel_cameras_are_several_single_ones(maker, photos):
    photo, camera = photos
    novel = torch.stack([look_at([-30.0, 40.0], 0.0), look_at([10.0, -5.0], [8.0, -8.0])], dim=1)
    views = maker.real(photo, camera, novel_camera=novel, names=["a", "b"])
    assert views.novel_render.shape == (2, 2, 3, SIZE, SIZE)
    for i in range(2):
        one = maker.real(photo, camera, novel_camera=novel[:, i], names=["a", "b"])
        torch.testing.assert_close(one.render, views.render)
        torch.testing.assert_close(one.novel_render, views.novel_render[:, i])
        torch.testing.assert_close(one.novel_ray_length, views.novel_ray_length[:, i])
        torch.testing.assert_close(one.ray_length, views.ray_length)


def test_real_views_are_the_generators_own_views_of_the_codes(maker, photos):
    photo, camera = photos
    novel = look_at([33.0, -21.0], [4.0, 0.0])
    views = maker.real(photo, camera, novel_camera=novel, names=["a", "b"])
    ws = maker.encoder(photo)
    rendering = maker.generator.render(maker.generator.planes(ws), ws, novel)
    torch.testing.assert_close(views.ws, ws)
    torch.testing.assert_close(views.novel_render, ((rendering.image + 1) / 2).clamp(0, 1))
    torch.testing.assert_close(views.novel_ray_length, rendering.ray_length)
    torch.testing.assert_close(views.photo, (photo + 1) / 2)
    assert not any(value.requires_grad for value in tensors(views).values())


def test_a_pair_depends_on_its_seed_alone(maker):
    together = maker.synthetic([5, 2**62, 7])
    torch.manual_seed(99)
    for row, seed in enumerate([5, 2**62, 7]):
        alone = tensors(maker.synthetic([seed]))
        for name, value in tensors(together).items():
            torch.testing.assert_close(value[row : row + 1], alone[name], rtol=1e-4, atol=1e-5)
    assert together.names == ("seed 5", f"seed {2**62}", "seed 7")
    assert not torch.allclose(together.source[0], together.source[1])
    assert not torch.allclose(together.camera, together.target_camera)


def test_the_encoder_inverts_the_source_in_its_own_range():
    generator = build_generator()
    codes = torch.randn(
        generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(0)
    )
    encoder = RecordingEncoder(codes)
    views = ViewMaker(generator, encoder).synthetic([1, 2])
    torch.testing.assert_close(encoder.seen[0], views.source * 2 - 1)
    torch.testing.assert_close(views.ws, codes.expand(2, -1, -1))
    # Ray lengths and fill are the inversion's, the target is the true person's.
    planes = generator.planes(views.ws)
    rendering = generator.render(planes, views.ws, views.target_camera)
    torch.testing.assert_close(views.target_render, ((rendering.image + 1) / 2).clamp(0, 1))
    torch.testing.assert_close(views.target_ray_length, rendering.ray_length)
    assert not torch.allclose(views.target, views.target_render)


def test_the_true_latent_instead_of_the_inversion():
    generator = build_generator()
    encoder = RecordingEncoder(torch.zeros(generator.num_ws, generator.w_dim))
    inverted = ViewMaker(generator, encoder).synthetic([4])
    true = ViewMaker(generator, encoder, invert_synthetic=False).synthetic([4])
    torch.testing.assert_close(true.target_render, true.target)
    torch.testing.assert_close(true.target, inverted.target)
    assert len(encoder.seen) == 1
    assert not torch.allclose(true.ray_length, inverted.ray_length)


def test_psi_zero_is_the_mean_latent():
    generator = build_generator()
    maker = ViewMaker(
        generator, build_encoder(generator), synthetic_psi=0.0, invert_synthetic=False
    )
    ws = maker.synthetic([1, 2]).ws
    torch.testing.assert_close(ws, generator.mean_latent().expand_as(ws))


def test_uniform_poses_fill_their_rectangle():
    labels = UniformPoses().sample(4000, torch.Generator().manual_seed(1))
    yaw, pitch = yaw_pitch(labels)
    highest = math.degrees(math.asin(2 * 0.5 / math.pi))
    for angle, limit in ((yaw, math.degrees(0.5)), (pitch, highest)):
        assert 0.99 * limit < angle.max() <= limit + 1e-3
        assert -limit - 1e-3 <= angle.min() < -0.99 * limit
    torch.testing.assert_close(
        labels[:, [3, 7, 11]].norm(dim=-1), torch.full((4000,), 2.7), rtol=1e-6, atol=1e-5
    )
    # Even in EG3D's offset, i.e. in the camera's height.
    height = labels[:, 7]
    assert abs((height.abs() < 0.5 * height.abs().max()).float().mean() - 0.5) < 0.03


def test_poses_of_a_label_list():
    listed = look_at([-40.0, 0.0, 25.0], [3.0, 0.0, -6.0])
    views = build_maker(synthetic_poses=PoseDistribution(listed)).synthetic(range(12))
    drawn = torch.cat([views.camera, views.target_camera])
    nearest = (drawn[:, None] - listed).abs().amax(-1).min(-1)
    assert nearest.values.max() == 0
    assert set(nearest.indices.tolist()) == {0, 1, 2}


def test_the_fingerprint_sees_weights_and_render_settings():
    base = build_maker().fingerprint()
    assert build_maker().fingerprint() == base
    changed = build_maker()
    changed.generator.rendering_kwargs["depth_resolution"] += 1
    assert {k for k, v in changed.fingerprint().items() if v != base[k]} == {"rendering"}
    other = build_maker()
    next(other.encoder.parameters()).data += 1e-3
    assert {k for k, v in other.fingerprint().items() if v != base[k]} == {"encoder"}


def test_networks_that_do_not_fit_are_refused():
    generator = build_generator()
    encoder = build_encoder(generator)
    with pytest.raises(ValueError, match="encoder is in training mode"):
        ViewMaker(generator, encoder.train())
    wrong = RecordingEncoder(torch.zeros(generator.num_ws + 1, generator.w_dim))
    with pytest.raises(ValueError, match="give the encoder trained for this generator"):
        ViewMaker(generator, wrong)
