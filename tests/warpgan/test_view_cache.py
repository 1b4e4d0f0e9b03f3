import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import tarfile

import numpy as np
import pytest
import torch
import webdataset
from omegaconf import OmegaConf
from PIL import Image

from tests.warpgan.training_world import run_in_child
from tests.warpgan.view_world import (
    PAIRS,
    PHOTOS,
    build_maker,
    make_cache,
    open_images,
    shard_bytes,
)
from warpgan.cli import compose_config
from warpgan.data.folder import ImageFolder
from warpgan.data.view_cache import collate, open_pair_views, open_photo_views
from warpgan.data.view_codec import (
    LEAST_PSNR,
    STEPS,
    decode_arrays,
    decode_ray_length,
    encode_arrays,
    encode_image,
    encode_ray_length,
    load_image,
)
from warpgan.data.view_settings import check_precompute_config
from warpgan.data.view_shards import DamagedShardError, ShardWriter, read_settings
from warpgan.pose import PoseDistribution, rebalance_by_yaw
from warpgan.training.seeding import fold_seed
from warpgan.training.stopping import EXIT_INTERRUPTED


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view_world")
    make_cache(folder)
    return folder


@pytest.fixture
def copy(world, tmp_path):
    """The world again, to be damaged."""
    shutil.copytree(world, tmp_path / "world", symlinks=True)
    return tmp_path / "world"


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * float((a - b).double().square().mean().log10())


def test_images_reach_the_least_psnr_whatever_they_are():
    draws = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 32, 32, generator=draws)
    ramp = torch.linspace(0, 1, 64).expand(64, 64)
    smooth = torch.stack([ramp, ramp.T, 0.5 * ramp + 0.25])
    for image, start in ((noise, 90), (smooth, 90), (smooth, 10), (smooth, 100)):
        stored = encode_image(image, quality=start)
        found = psnr(load_image(stored.content, "image"), image)
        assert found >= LEAST_PSNR
        assert stored.psnr == pytest.approx(found, abs=1e-3)
    assert encode_image(noise).quality == 101
    assert len(encode_image(smooth, quality=100).content) < 0.25 * smooth.numel()


@pytest.mark.parametrize("kind", ["smooth", "noise", "extremes"])
def test_ray_lengths_err_by_half_a_step(kind):
    near, far, side = 2.25, 3.3, 24
    rows, columns = np.mgrid[:side, :side] / side
    draws = np.random.default_rng(0)
    maps = {
        "smooth": 2.7 + 0.2 * np.sin(3 * rows) * columns,
        "noise": draws.uniform(near, far, (side, side)),
        "extremes": np.where(draws.random((side, side)) < 0.5, near, far),
    }
    content = encode_ray_length(maps[kind], near=near, far=far)
    error = np.abs(decode_ray_length(content, near=near, far=far) - maps[kind])
    assert error.max() <= (far - near) / STEPS / 2 + 2e-7
    if kind == "smooth":
        assert len(content) < side * side


def test_a_sample_outside_the_range_widens_it():
    lengths = torch.tensor([[2.0, 2.5], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    packed = encode_arrays(
        torch.zeros(2, 4), torch.zeros(1, 25), ray_lengths=lengths, near=2.25, far=3.3
    )
    arrays = decode_arrays(packed, views=(0,))
    torch.testing.assert_close(arrays.ray_lengths, lengths, rtol=0, atol=2.0 / STEPS)
    with pytest.raises(ValueError, match="ray lengths are not all finite"):
        encode_arrays(
            torch.zeros(2, 4), torch.zeros(1, 25), ray_lengths=lengths / 0, near=2.0, far=3.0
        )


def check_close(found, exact, *, exactly: set[str]) -> None:
    for name, value in vars(exact).items():
        if name == "names":
            continue
        got = getattr(found, name)
        assert got.shape == value.shape and got.dtype == value.dtype, name
        if name in exactly:
            torch.testing.assert_close(got, value, rtol=0, atol=1e-7)
        elif name == "ws":
            torch.testing.assert_close(got, value, rtol=2.0**-11, atol=1e-5)
        elif "ray_length" in name:
            # One batch is not another: the renders themselves agree to 1e-5.
            torch.testing.assert_close(got, value, rtol=0, atol=0.6 / STEPS + 1e-5)
        else:
            assert psnr(got, value) >= LEAST_PSNR - 0.01, name


def test_photos_come_back(world):
    images, maker = open_images(world), build_maker()
    cache = open_photo_views(world / "views", images)
    assert len(cache) == PHOTOS and cache.novel_views == 3
    listed = images.labels[rebalance_by_yaw(images.labels)]
    for index in (0, 5, 9):
        stream = torch.Generator().manual_seed(
            fold_seed(2107, "novel cameras", images.names[index])
        )
        novel = PoseDistribution(listed).sample(3, stream, mirror=True)
        for view in range(3):
            sample = cache.sample(index, novel=view)
            exact = maker.real(
                images[index].image[None],
                images[index].camera[None],
                novel_camera=novel[None, view],
                names=[images.names[index]],
            )
            check_close(sample, exact, exactly={"photo", "camera", "novel_camera"})
            assert sample.names == exact.names
    with pytest.raises(IndexError, match="novel view 3 of 3"):
        cache.sample(0, novel=3)


def test_pairs_come_back(world):
    images = open_images(world)
    poses = PoseDistribution(images.labels[rebalance_by_yaw(images.labels)])
    maker = build_maker(synthetic_poses=poses)
    cache = open_pair_views(world / "views")
    assert len(cache) == PAIRS and cache.novel_views is None
    seeds = [fold_seed(2107, "synthetic pair", index) for index in (0, 4, 8)]
    batch = collate([cache.sample(index) for index in (0, 4, 8)])
    exact = maker.synthetic(seeds)
    assert batch.names == exact.names
    check_close(batch, exact, exactly={"camera", "target_camera"})


def test_a_cache_survives_pickling(world):
    cache = open_photo_views(world / "views", open_images(world))
    again = pickle.loads(pickle.dumps(cache))
    torch.testing.assert_close(again[7].novel_render, cache[7].novel_render, rtol=0, atol=0)


def test_webdataset_reads_the_shards(world):
    shards = sorted(str(path) for path in (world / "views").glob("photos-*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"photos-{i:08d}" for i in range(PHOTOS)]
    assert json.loads(samples[3]["json"])["name"] == "p03.png"
    assert Image.open(io.BytesIO(samples[3]["novel_2.webp"])).size == (32, 32)


def test_the_photo_itself_is_not_stored(world):
    with tarfile.open(world / "views" / "photos-00000.tar") as archive:
        fields = {name.partition(".")[2] for name in archive.getnames()}
    renders = {"render.webp", *(f"novel_{i}.webp" for i in range(3))}
    assert fields == {"json", "arrays.safetensors"} | renders


def write_until_killed(folder, how: int, *, after: int) -> None:
    """Make a cache, and send this process a signal after so many samples."""
    write, written = ShardWriter.write, []

    def counting(self, *arguments, **options):
        write(self, *arguments, **options)
        written.append(1)
        if len(written) == after:
            os.kill(os.getpid(), how)

    ShardWriter.write = counting
    make_cache(folder, name="killed")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_continues_to_the_same_bytes(world, how):
    cache = world / "killed"
    code = run_in_child(lambda: write_until_killed(world, how, after=6))
    assert code == (EXIT_INTERRUPTED if how == signal.SIGTERM else -how)
    partial = list(cache.glob(".*.partial"))
    assert len(partial) == (1 if how == signal.SIGKILL else 0)
    finished = cache / "photos-00000.tar"
    assert [path.name for path in cache.glob("*.tar")] == [finished.name]
    written_at = finished.stat().st_mtime_ns
    make_cache(world, name="killed")
    assert finished.stat().st_mtime_ns == written_at
    assert list(cache.glob(".*.partial")) == []
    assert shard_bytes(cache) == shard_bytes(world / "views")
    shutil.rmtree(cache)


def test_two_workers_write_the_same_bytes(world):
    workers = make_cache(world, "views.workers=2", name="two_workers")
    assert shard_bytes(workers) == shard_bytes(world / "views")


def test_two_processes_of_torchrun_write_the_same_bytes(world, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        cache = make_cache(world, name="two_ranks")
        assert (len(list(cache.glob("*.tar"))) == 6) == (rank == "0")
    assert shard_bytes(cache) == shard_bytes(world / "views")


def truncate(shard):
    shard.write_bytes(shard.read_bytes()[:-700])


def flip_a_bit(shard):
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)


def remove(shard):
    shard.unlink()


def remove_index(shard):
    shard.with_suffix(".json").unlink()


def cut_index(shard):
    index = shard.with_suffix(".json")
    index.write_text(index.read_text()[:-40])


def lie_about_places(shard):
    index = json.loads(shard.with_suffix(".json").read_text())
    index["spans"][0][0][0] = 10**12
    shard.with_suffix(".json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "harm", [truncate, flip_a_bit, remove, remove_index, cut_index, lie_about_places]
)
def test_a_damaged_shard_is_found_named_and_rebuilt(copy, harm):
    cache, images = copy / "views", open_images(copy)
    before = shard_bytes(cache)
    times = {path: path.stat().st_mtime_ns for path in cache.glob("*.tar")}
    harm(cache / "photos-00001.tar")
    with pytest.raises(DamagedShardError, match="photos-00001.tar") as error:
        open_photo_views(cache, images)
    assert "python -m warpgan.precompute generator=random_tiny" in str(error.value)
    open_pair_views(cache)
    # The command in settings.json names the world it was copied from; the content does not.
    make_cache(copy)
    assert shard_bytes(cache) == before
    rebuilt = {path.name for path, at in times.items() if path.stat().st_mtime_ns != at}
    assert rebuilt == {"photos-00001.tar"}
    open_photo_views(cache, images)


def test_damage_after_opening_is_named(copy):
    cache = open_pair_views(copy / "views")
    shard = copy / "views" / "pairs-00000.tar"
    content = bytearray(shard.read_bytes())
    for at in range(0, len(content), 64):
        content[at] ^= 255
    shard.write_bytes(content)
    with pytest.raises(DamagedShardError, match="pairs-00000.tar is damaged"):
        cache.sample(1)


def plant(shard, name: str, kind: bytes = tarfile.REGTYPE) -> None:
    """Append a member and make the index fit."""
    with tarfile.open(shard, "a") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = kind, 0, "/etc/hostname"
        archive.addfile(member)
    index = json.loads(shard.with_suffix(".json").read_text())
    content = shard.read_bytes()
    index |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    shard.with_suffix(".json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../outside.json", tarfile.REGTYPE),
        ("/tmp/outside.json", tarfile.REGTYPE),
        ("photos-00000000/../x.json", tarfile.REGTYPE),
        ("photos-00000009.json", tarfile.SYMTYPE),
    ],
)
def test_members_that_lead_outside_are_refused(copy, name, kind):
    plant(copy / "views" / "photos-00000.tar", name, kind)
    with pytest.raises(DamagedShardError, match="photos-00000.tar is refused: foreign member"):
        open_photo_views(copy / "views", open_images(copy))


def test_other_settings_are_refused_with_what_differs(copy, capsys):
    with pytest.raises(SystemExit) as error:
        make_cache(copy, "views.truncation_psi=0.5", "views.batch_size=2")
    assert error.value.code == 2
    message = capsys.readouterr().err
    assert "pairs.truncation_psi: there 0.7, asked for 0.5" in message
    assert "batch_size: there 3, asked for 2" in message
    assert message.count("asked for") == 2


def test_the_reader_refuses_other_networks(world):
    fingerprint = build_maker().fingerprint()
    open_pair_views(world / "views", expected={"networks": fingerprint})
    with pytest.raises(ValueError, match=r"networks.encoder: there \w+, asked for other"):
        open_pair_views(world / "views", expected={"networks": {**fingerprint, "encoder": "other"}})


def test_a_changed_photo_is_named(copy):
    cache = open_photo_views(copy / "views", open_images(copy))
    Image.new("RGB", (32, 32)).save(copy / "images" / "p04.png")
    cache.sample(3)
    with pytest.raises(ValueError, match="photo p04.png is not the file"):
        cache.sample(4)


def test_photos_that_are_not_in_the_data_are_named(copy):
    labels = json.loads((copy / "images" / "dataset.json").read_text())
    labels["labels"] = labels["labels"][:6]
    (copy / "images" / "dataset.json").write_text(json.dumps(labels))
    for index in range(6, PHOTOS):
        (copy / "images" / f"p{index:02d}.png").unlink()
    with pytest.raises(ValueError, match="4 of the 10 photos .* first p06.png"):
        open_photo_views(copy / "views", open_images(copy))


def test_mirrored_photos_are_samples_of_their_own(world):
    cache = make_cache(
        world, "data.mirror=true", "views.synthetic_pairs=0", name="with_mirrored_photos"
    )
    images = ImageFolder(world / "images", size=32, mirror=True)
    views = open_photo_views(cache, images)
    assert len(views) == 2 * PHOTOS
    photo, mirrored = views.sample(2), views.sample(2 + PHOTOS)
    torch.testing.assert_close(mirrored.photo, photo.photo.flip(-1))
    assert not torch.allclose(mirrored.ws, photo.ws)
    with pytest.raises(ValueError, match="holds no pairs"):
        open_pair_views(cache)


def test_no_cache_and_no_empty_folder(tmp_path, world, capsys):
    with pytest.raises(FileNotFoundError, match="no cache of views"):
        read_settings(tmp_path)
    foreign = world / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("dear")
    with pytest.raises(SystemExit):
        make_cache(world, name="foreign")
    assert "holds files but no settings.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("views.poses=sideways", "views.poses=sideways is not known"),
        ("views.photos=11", "views.photos=11, but the data set holds 10"),
        ("views.shard_size=0", "views.shard_size=0 must be at least 1"),
        ("scale=mini", "the generator makes 32 px, scale.image_size=128"),
        ("data.path=/nowhere", "/nowhere does not exist"),
    ],
)
def test_mistakes_are_explained(world, capsys, word, message):
    with pytest.raises(SystemExit) as error:
        make_cache(world, word, name="mistake")
    assert error.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("preset", ["mini", "paper", "official"])
def test_every_preset_composes(preset):
    overrides = [f"preset={preset}", "data.path=photos"]
    settings = OmegaConf.to_object(compose_config("precompute", overrides))
    check_precompute_config(settings)
    assert settings.cache_dir.endswith(f"views/{preset}")
    assert settings.views.novel_views == (2 if preset == "mini" else 3)
    assert settings.views.synthetic_pairs == (1500 if preset == "mini" else 100_000)
    assert settings.views.poses == ("uniform" if preset == "official" else "labels")
    train = compose_config("train_svinet", overrides)
    shared = ("encoder", "poses", "synthetic_pairs", "truncation_psi", "synthetic_codes")
    for key in shared:
        assert train.views[key] == getattr(settings.views, key), key
