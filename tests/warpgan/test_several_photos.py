import pytest
import torch

from tests.warpgan.evaluation_world import SIZE
from tests.warpgan.synthesis_world import OPTIONS, build_pipeline, orbit, photos
from tests.warpgan.test_pipeline import assert_same_views
from warpgan.cameras import look_at
from warpgan.photo_blending import BlendOptions, with_gain
from warpgan.pipeline import METHODS, WarpGAN
from warpgan.several_photos import MOST_PHOTOS, SeveralPhotos
from warpgan.warp import WarpOptions

SIDES = look_at([0.0, 40.0, -40.0], 0.0)


@pytest.fixture(scope="module")
def model():
    return build_pipeline()


@pytest.fixture(scope="module")
def three(model):
    return model.invert_several(photos(3), SIDES)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [None, 2])
def test_one_photo_gives_the_bytes_of_a_face(model, method, chunk):
    face = model.invert(photos(1), SIDES[:1]).views(orbit(5), method, chunk=chunk)
    alone = model.invert_several(photos(1), SIDES[:1]).views(orbit(5), method, chunk=chunk)
    assert_same_views(alone, face, tolerance=0)


@pytest.mark.parametrize("method", METHODS)
def test_chunks_change_nothing(three, method):
    whole = three.views(orbit(7), method)
    assert whole.image.shape == (1, 7, 3, SIZE, SIZE)
    for chunk in (1, 3):
        assert_same_views(three.views(orbit(7), method, chunk=chunk), whole, tolerance=1e-5)


def test_a_chunk_bounds_what_is_rendered_at_once(three, monkeypatch):
    sizes = []
    render = three.model.generator.render

    def watched(planes, ws, camera):
        sizes.append(camera.shape[0] * camera.shape[1])
        return render(planes, ws, camera)

    monkeypatch.setattr(three.model.generator, "render", watched)
    three.views(orbit(9), "fill", chunk=2)
    assert max(sizes) <= 2 and sum(sizes) == 9


def test_parts_of_a_photo_are_computed_once(monkeypatch):
    model = build_pipeline()
    calls = []
    encoder = model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda x: calls.append(len(x)) or encoder(x))
    several = model.invert_several(photos(3), SIDES)
    several.views(orbit(2), "fill")
    several.views(orbit(2), "inversion")
    assert calls == [1, 1, 1], "each photo on its own"


def test_a_photo_is_inverted_on_its_own(model, three):
    alone = model.invert(photos(3)[1:2], SIDES[1:2])
    assert torch.equal(three.faces[1].ws, alone.ws)
    assert torch.equal(three.faces[1].ray_length, alone.ray_length)


def test_render_and_depth_are_those_of_the_photo_nearest_in_yaw(model):
    several = model.invert_several(photos(3), SIDES, match_colours=False)
    cameras = look_at([5.0, 30.0, -70.0, 20.0], 0.0)
    assert several.nearest(cameras) == [0, 1, 2, 0], "a tie goes to the first"
    views = several.views(cameras[None], "fill")
    for view, nearest in enumerate([0, 1, 2, 0]):
        own = several.faces[nearest].views(cameras[None, view : view + 1], "inversion")
        assert (views.render[0, view] - own.render[0, 0]).abs().max() < 1e-5
        assert (views.depth_z[0, view] - own.depth_z[0, 0]).abs().max() < 1e-5


def test_ties_follow_the_order_of_photos(model):
    front = look_at(0.0, 0.0)
    for order in ([1, 2], [2, 1]):
        pair = model.invert_several(photos(3)[order], SIDES[order])
        assert pair.nearest(front) == [0]


def test_holes_are_the_product_of_the_photos_holes(model, three):
    cameras = orbit(3)
    views = three.views(cameras, "fill")
    alone = [face.views(cameras, "fill") for face in three.faces]
    product = alone[0].hole * alone[1].hole * alone[2].hole
    assert (views.hole - product).abs().max() < 1e-5
    assert views.hole.mean() < min(each.hole.mean() for each in alone)


def test_what_only_the_second_photo_sees_comes_from_it(model):
    several = model.invert_several(photos(2), SIDES[:2], match_colours=False)
    cameras = look_at([10.0, 25.0], 0.0)[None]
    first, second = (face.views(cameras, "fill") for face in several.faces)
    views = several.views(cameras, "fill")
    for own, other in ((second, first), (first, second)):
        only = ((own.hole == 0) & (other.hole == 1)).expand_as(views.image)
        assert only.sum() > 50
        assert (views.image - own.warped)[only].abs().max() < 1e-5


def test_with_no_softness_or_feather_order_decides_ties_only(model):
    """Swapped photos give the same pixels, as no camera lies between the two."""
    hard = BlendOptions(feather=0.0, softness=0.0)
    faces = [model.invert(photos(2)[[i]], SIDES[[i]]) for i in range(2)]
    cameras = look_at([10.0, 30.0], 0.0)[None]
    there, back = (
        SeveralPhotos(each, match_colours=False, blend=hard).views(cameras, "fill")
        for each in (faces, faces[::-1])
    )
    assert_same_views(there, back, tolerance=1e-5)


def test_the_mirrored_branch_is_of_the_nearest_or_of_all(model):
    faces = [model.invert(photos(2)[[i]], SIDES[[i]]) for i in range(2)]
    cameras = look_at([-25.0], 0.0)[None]
    received = {}
    for mirrored in ("nearest", "combined"):
        several = SeveralPhotos(faces, mirrored=mirrored)
        hook = model.svinet.register_forward_pre_hook(
            lambda _, args, to=received, name=mirrored: to.update({name: args})
        )
        several.views(cameras)
        hook.remove()
    main, mirror = received["nearest"][:2]
    alone = faces[0].views(cameras, "fill")
    assert main.hole.mean() < alone.hole.mean()
    assert received["combined"][1].hole.mean() < mirror.hole.mean()
    assert torch.equal(received["combined"][0].filled, main.filled)
    assert torch.equal(received["combined"][2], faces[0].ws), "the latent of the nearest"


def test_colours_are_brought_to_the_first_photo_s():
    """The same photo twice, the second darker and tinted: matched, the two agree."""
    model = build_pipeline(options=WarpOptions(visibility=False, scale_blur=True))
    wall = torch.full((2, 1, SIZE, SIZE), 2.5)
    factor = torch.tensor([0.7, 0.8, 0.9])
    photo = photos(1) * 0.5 - 0.2
    both = torch.cat([photo, with_gain(photo, factor)])
    matched = model.invert_several(both, SIDES[[0, 0]], ray_length=wall)
    assert torch.equal(matched.gains[0], torch.ones(3))
    assert torch.equal(matched.photos[0], photo)
    assert torch.allclose(matched.gains[1], 1 / factor, rtol=0.03)
    kept = model.invert_several(both, SIDES[[0, 0]], match_colours=False)
    assert torch.equal(kept.gains, torch.ones(2, 3))
    assert torch.equal(kept.photos[1], both[1:])


def test_the_same_bytes_twice(model):
    first, second = (
        model.invert_several(photos(2), SIDES[:2]).views(orbit(4)).image for _ in range(2)
    )
    assert torch.equal(first, second)


def test_geometry_without_visibility_tests():
    plain = build_pipeline(options=WarpOptions(visibility=False, scale_blur=True))
    views = plain.invert_several(photos(2), SIDES[:2]).views(orbit(2))
    assert views.image.isfinite().all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((photos(1)[:0], SIDES[:0]), "0 photos of one person; expected 1 to 16: give at least one"),
        ((photos(2), SIDES), r"for 2 photos of one person; expected \[2, 25\], one camera a photo"),
        ((photos(2)[..., :16, :16], SIDES[:2]), "resize the photo"),
        ((photos(2)[0], SIDES[:1]), r"expected \[P, 3, S, S\]"),
        (
            (photos(1).expand(MOST_PHOTOS + 1, -1, -1, -1), SIDES[:1].expand(MOST_PHOTOS + 1, -1)),
            "17 photos of one person; expected 1 to 16",
        ),
    ],
)
def test_wrong_photos_are_refused(model, given, message):
    with pytest.raises(ValueError, match=message):
        model.invert_several(*given)


def test_known_depth_is_one_a_photo(model):
    wall = torch.full((3, 1, SIZE, SIZE), 2.5)
    with pytest.raises(ValueError, match="for 2 photos of one person; expected"):
        model.invert_several(photos(2), SIDES[:2], ray_length=wall)
    known = model.invert_several(photos(3), SIDES, ray_length=wall)
    assert all(torch.equal(face.ray_length, wall[:1]) for face in known.faces)


def test_wrong_questions_are_refused(model, three):
    with pytest.raises(ValueError, match=r"for 1 faces; expected \[1, V, 25\]"):
        three.views(orbit(2, 2))
    with pytest.raises(ValueError, match="choose one of inversion"):
        three.views(orbit(2), "inpaint")
    with pytest.raises(ValueError, match="chunk=0"):
        three.views(orbit(2), chunk=0)
    with pytest.raises(ValueError, match="choose one of nearest, combined"):
        SeveralPhotos(three.faces, mirrored="all")
    without = WarpGAN(model.generator, model.encoder, None, OPTIONS)
    with pytest.raises(ValueError, match="needs SVINet"):
        without.invert_several(photos(2), SIDES[:2]).views(orbit(1))
