from dataclasses import fields

import pytest
import torch

import warpgan.evaluate  # noqa: F401  registers the schema of its config
from tests.warpgan.device_proof import fake_cuda, move_to_fake_cuda
from tests.warpgan.evaluation_world import SIZE, build_generator
from tests.warpgan.synthesis_world import (
    OPTIONS,
    build_pipeline,
    orbit,
    photos,
    source_cameras,
)
from warpgan.cameras import mirror_label
from warpgan.cli import build_node, compose_config
from warpgan.initial_fill import both_branches
from warpgan.methods import build
from warpgan.methods.build import Models
from warpgan.methods.photo_warp import PhotoWarp
from warpgan.methods.true_latent import photo_key
from warpgan.pipeline import METHODS, WarpGAN, rendered_ray_length
from warpgan.svinet import save_svinet
from warpgan.warp import depth_z_from_ray_length


@pytest.fixture(scope="module")
def model():
    return build_pipeline()


@pytest.fixture(scope="module")
def faces(model):
    return model.invert(photos(2), source_cameras(2))


def assert_same_views(a, b, *, tolerance):
    for field in fields(a):
        ours, theirs = getattr(a, field.name), getattr(b, field.name)
        assert (ours is None) == (theirs is None), field.name
        if ours is not None:
            assert (ours - theirs).abs().max() <= tolerance, field.name


@pytest.mark.parametrize("method", METHODS)
def test_shapes_and_ranges(faces, method):
    views = faces.views(orbit(3, 2), method)
    assert views.image.shape == views.render.shape == (2, 3, 3, SIZE, SIZE)
    assert views.depth_z.shape == (2, 3, 1, SIZE, SIZE)
    assert views.image.abs().max() <= 1
    if method == "inversion":
        assert views.warped is None and views.hole is None and views.filled is None
    else:
        assert views.warped.shape == views.filled.shape == views.image.shape
        assert views.hole.shape == views.depth_z.shape
        assert 0 <= views.hole.min() < 0.5 < views.hole.max() <= 1


def test_source_depth_is_that_of_the_whole_render(model):
    generator, camera = model.generator, source_cameras(2)
    ws = model.encoder(photos(2))
    planes = generator.planes(ws)
    alone = rendered_ray_length(generator, planes, ws, camera=camera)
    assert torch.equal(alone, generator.render(planes, ws, camera).ray_length)


def test_warpgan_is_the_chain_written_out(model, faces):
    """The slow reference: everything anew for every view, with the modules' public functions."""
    generator, cameras = model.generator, orbit(3, 2)
    views = faces.views(cameras)
    for item in range(2):
        photo, source = photos(2)[item : item + 1], source_cameras(2)[item : item + 1]
        for view in range(3):
            target = cameras[item, view][None]
            ws = model.encoder(photo)
            planes = generator.planes(ws)
            seen = generator.render(planes, ws, target)
            main, mirrored = both_branches(
                photo,
                generator.render(planes, ws, source).ray_length,
                source,
                target=target,
                render=seen.image,
                options=OPTIONS,
                target_ray_length=seen.ray_length,
            )
            with torch.no_grad():
                image = model.svinet(main, mirrored, ws)
            assert (views.image[item, view] - image[0]).abs().max() < 1e-5
            assert (views.filled[item, view] - main.filled[0]).abs().max() < 1e-5
            depth_z = depth_z_from_ray_length(seen.ray_length, target)
            middle = views.depth_z[item, view, 0, SIZE // 2 - 2 : SIZE // 2 + 2]
            assert middle.min() >= depth_z.min() - 1e-5 and middle.max() <= depth_z.max() + 1e-5


def test_once_a_photo_whatever_the_number_of_views(monkeypatch):
    model = build_pipeline()
    calls = {"encoder": 0, "planes": 0, "source depth": 0, "rendered views": 0, "svinet": 0}

    def counted(owner, name, label, amount=lambda *args: 1):
        original = getattr(owner, name)

        def wrapper(*args, **kwargs):
            calls[label] += amount(*args)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapper)

    counted(model.encoder, "forward", "encoder")
    counted(model.generator, "planes", "planes")
    counted(model.generator, "render_rays", "source depth")
    counted(model.generator, "render", "rendered views", lambda p, w, camera: camera.shape[1])
    counted(model.svinet, "forward", "svinet", lambda main, *_: len(main.filled))
    face = model.invert(photos(1), source_cameras(1))
    face.views(orbit(30))
    once = {"encoder": 1, "planes": 1, "source depth": 1}
    assert calls == {**once, "rendered views": 30, "svinet": 30}
    face.views(orbit(2), "inversion")
    assert calls == {**once, "rendered views": 32, "svinet": 30}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 2, 4, 5, 100])
def test_chunks_change_nothing(faces, method, chunk):
    """1 and 2: single views and items one after the other; 5: an uneven rest."""
    whole = faces.views(orbit(5, 2), method)
    assert_same_views(faces.views(orbit(5, 2), method, chunk=chunk), whole, tolerance=1e-5)


def test_a_chunk_bounds_what_is_rendered_at_once(faces, monkeypatch):
    sizes = []
    render = faces.model.generator.render

    def watched(planes, ws, camera):
        sizes.append(camera.shape[0] * camera.shape[1])
        return render(planes, ws, camera)

    monkeypatch.setattr(faces.model.generator, "render", watched)
    faces.views(orbit(7, 2), "fill", chunk=4)
    assert max(sizes) <= 4 and sum(sizes) == 14


def test_a_batch_equals_its_items(model, faces):
    whole = faces.views(orbit(3, 2))
    for item in range(2):
        alone = model.invert(photos(2)[item : item + 1], source_cameras(2)[item : item + 1])
        single = alone.views(orbit(3))
        assert (single.image[0] - whole.image[item]).abs().max() < 1e-5


def test_the_same_bytes_twice(model):
    first, second = (
        model.invert(photos(1), source_cameras(1)).views(orbit(4)).image for _ in range(2)
    )
    assert torch.equal(first, second)


def test_methods_are_stages_of_one_chain(faces):
    views = {method: faces.views(orbit(2, 2), method) for method in METHODS}
    last = views["warpgan"]
    assert torch.equal(views["inversion"].image, last.render.clamp(-1, 1))
    assert torch.equal(views["warp"].image, last.warped)
    assert torch.equal(views["fill"].image, last.filled)
    images = [view.image for view in views.values()]
    for i, image in enumerate(images):
        assert all((image - other).abs().mean() > 1e-3 for other in images[:i])
    solid = (last.hole == 0).expand_as(last.filled)
    assert solid.any() and torch.equal(last.filled[solid], last.warped[solid])
    missing = (last.hole == 1).expand_as(last.filled)
    assert torch.allclose(last.filled[missing], last.render.clamp(-1, 1)[missing], atol=1e-6)


def test_the_source_view_shows_the_photo(faces):
    """Warped to where it was taken from, the photo comes back where nothing is missing."""
    views = faces.views(source_cameras(2)[:, None], "fill")
    shown = (views.hole[:, 0] == 0).expand(-1, 3, -1, -1)
    assert shown.float().mean() > 0.3
    assert (views.image[:, 0] - photos(2))[shown].abs().mean() < 0.02


def test_the_mirrored_branch_is_used_only_with_symmetry():
    photo, camera = photos(1), source_cameras(1)
    for symmetry in (False, True):
        model = build_pipeline(symmetry=symmetry)
        received = []
        model.svinet.register_forward_pre_hook(lambda _, args, to=received: to.append(args[1]))
        model.invert(photo, camera).views(mirror_label(camera)[:, None])
        assert (received[0] is not None) == symmetry


def test_known_depth_replaces_the_generator_s(model):
    photo, camera = photos(1), source_cameras(1)
    wall = torch.full((1, 1, SIZE, SIZE), 2.6)
    known = model.invert(photo, camera, ray_length=wall).views(orbit(3), "warp")
    own = model.invert(photo, camera).views(orbit(3), "warp")
    assert (known.image - own.image).abs().mean() > 0.01
    assert torch.equal(known.render, own.render)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": orbit(3, 1)}, "for 2 faces"),
        ({"cameras": orbit(3, 2)[..., :16]}, r"expected \[2, V, 25\]"),
        ({"cameras": orbit(3, 2)[:, :0]}, "at least one"),
        ({"method": "inpaint"}, "choose one of inversion, warp, fill, warpgan"),
        ({"chunk": 0}, "chunk=0 must be at least 1"),
    ],
)
def test_wrong_questions_are_refused(faces, arguments, message):
    with pytest.raises(ValueError, match=message):
        faces.views(**{"cameras": orbit(3, 2), **arguments})


def test_wrong_photos_and_parts_are_refused(model):
    with pytest.raises(ValueError, match="resize the photo"):
        model.invert(photos(1)[..., :16, :16], source_cameras(1))
    with pytest.raises(ValueError, match="for 2 photos"):
        model.invert(photos(2), source_cameras(1))
    without = WarpGAN(model.generator, model.encoder, None, OPTIONS)
    with pytest.raises(ValueError, match="needs SVINet"):
        without.invert(photos(1), source_cameras(1)).views(orbit(1))


def models_of(model) -> Models:
    return Models(model.generator, model.encoder)


def test_methods_of_the_harness_are_the_pipeline(model, faces, tmp_path):
    save_svinet(model.svinet, tmp_path / "svinet.safetensors")
    methods = {
        "warp": build.warp(models_of(model), geometry=OPTIONS),
        "fill": build.warp(models_of(model), geometry=OPTIONS, fill=True, name="warp_fill"),
        "warpgan": build.warpgan(models_of(model), svinet=str(tmp_path), geometry=OPTIONS),
    }
    assert methods["warpgan"].files == (tmp_path / "svinet.safetensors",)
    for view, method in methods.items():
        assert method.image_size == SIZE
        inversion = method.invert(photos(2), source_cameras(2))
        views = inversion.render(orbit(3, 2))
        expected = faces.views(orbit(3, 2), view)
        assert (views.image - expected.image).abs().max() < 1e-5
        assert torch.equal(views.depth_z, expected.depth_z)
        assert views.seconds > 0 and inversion.seconds > 0


def test_true_depth_is_found_by_the_photo(model):
    table = {photo_key(p): torch.full((1, SIZE, SIZE), 2.5 + i) for i, p in enumerate(photos(2))}
    method = PhotoWarp(model, view="warp", name="warp_true_depth", depths=table)
    face = method.invert(photos(2)[[1]], source_cameras(2)[[1]]).face
    depth_z = depth_z_from_ray_length(face.ray_length, face.camera)
    assert (depth_z - 3.5).abs().max() < 1e-5
    with pytest.raises(KeyError, match="no known depth"):
        method.invert(photos(1, seed=9), source_cameras(1))
    with pytest.raises(ValueError, match="true depth is known"):
        build.warp(models_of(model), geometry=OPTIONS, true_depth=True)


def test_an_svinet_of_another_generator_is_refused(model, tmp_path):
    save_svinet(model.svinet, tmp_path / "svinet.safetensors")
    other = build_generator()
    other.num_ws = 5
    with pytest.raises(ValueError, match="not made for each other"):
        build.warpgan(
            Models(other, None if model.encoder is None else model.encoder),
            svinet=str(tmp_path),
            geometry=OPTIONS,
        )


@pytest.mark.parametrize("name", ["warp", "warp_fill", "warpgan"])
@pytest.mark.parametrize("geometry", ["mini", "paper", "official"])
def test_every_method_config_builds(model, tmp_path, name, geometry):
    save_svinet(model.svinet, tmp_path / "svinet.safetensors")
    words = [f"method=[{name},{name}_true_depth]", f"geometry@method.{name}.geometry={geometry}"]
    words += [f"method.{name}.svinet={tmp_path}"] if name == "warpgan" else []
    config = compose_config("evaluate", words)
    method = build_node(config.method, name)(models_of(model), name="mine")
    assert method.name == "mine" and method.model.options.depth == (
        "ray" if geometry == "official" else "z"
    )
    assert method.view == {"warp": "warp", "warp_fill": "fill", "warpgan": "warpgan"}[name]
    assert config.method[f"{name}_true_depth"].true_depth is True
    method.invert(photos(1), source_cameras(1)).render(orbit(2))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_leaves_the_device(method):
    model = build_pipeline()
    with fake_cuda() as watch:
        move_to_fake_cuda(model.generator, model.encoder, model.svinet)
        photo = torch.empty(2, 3, SIZE, SIZE, device="cuda")
        face = model.invert(photo, torch.empty(2, 25, device="cuda"))
        views = face.views(torch.empty(2, 3, 25, device="cuda"), method)
        assert watch.operators > 50
        for field in fields(views):
            value = getattr(views, field.name)
            assert value is None or value.device.type == "cuda", field.name
