import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.warpgan.demo_world import build_studio, smooth_picture, square_source
from tests.warpgan.image_files import encoded
from tests.warpgan.synthesis_world import build_pipeline
from warpgan.data.folder import ImageFolder
from warpgan.demonstration.answers import Answers
from warpgan.demonstration.files import offered, write_files, write_orbit
from warpgan.demonstration.session import METHODS, Session, ViewCache, checked_place
from warpgan.demonstration.studio import FOLDER_PREFIX, remove_abandoned


@pytest.fixture
def studio(tmp_path):
    studio = build_studio(tmp_path)
    yield studio
    studio.close()


@pytest.fixture
def session(tmp_path):
    session = Session("key", tmp_path / "key")
    session.open(square_source(0))
    return session


def test_one_view_holds_the_stages_on_its_way(session):
    pipeline = build_pipeline()
    alone = {}
    for method in METHODS:
        session.cache.clear()
        alone[method] = session.view(pipeline, 12, -3, method=method)
    session.cache.clear()
    session.view(pipeline, 12, -3, method="warpgan")
    pipeline.generator = None
    for method in METHODS:
        np.testing.assert_array_equal(session.view(None, 12, -3, method=method), alone[method])
    assert len({picture.tobytes() for picture in alone.values()}) == 4


def test_a_change_of_the_photo_forgets_everything(session, tmp_path):
    pipeline = build_pipeline()
    before = session.view(pipeline, 5, 0, method="fill")
    write_files(session, pipeline, yaw=5, pitch=0, method="fill")
    assert offered(session) and session.folder.exists()
    session.adjust(session.adjustment)
    assert offered(session), "the same adjustment changes nothing"
    session.open(square_source(1))
    assert not offered(session) and not session.folder.exists() and session.cache.bytes == 0
    assert not np.array_equal(session.view(pipeline, 5, 0, method="fill"), before)


def test_files_read_back(session, tmp_path):
    pipeline = build_pipeline()
    write_files(session, pipeline, yaw=20, pitch=4, method="warpgan")
    folder = ImageFolder(session.files["crop.zip"], size=32)
    assert len(folder) == 1
    np.testing.assert_allclose(folder[0].camera, session.source.camera, atol=1e-6)
    assert sorted(session.files) == [
        "crop.zip", "depth.png", "points.ply", "warpgan_yaw+20_pitch+4.png"
    ]  # fmt: skip
    first = session.files["crop.zip"].read_bytes()
    write_files(session, pipeline, yaw=20, pitch=4, method="warp")
    assert session.files["crop.zip"].read_bytes() == first
    assert {path.name for path in session.folder.iterdir()} == set(session.files)
    steps = []
    write_orbit(session, pipeline, "inversion", lambda done, count: steps.append((done, count)))
    assert steps[-1] == (30, 30) and session.files["orbit.mp4"].stat().st_size > 1000


@pytest.mark.parametrize(
    ("yaw", "pitch", "words"),
    [(float("nan"), 0, "yaw"), (1e6, 0, "yaw"), (0, "3", "pitch"), (None, 0, "yaw")],
)
def test_angles_of_a_browser_are_checked(yaw, pitch, words):
    with pytest.raises(ValueError, match=words):
        checked_place(yaw, pitch)


def test_methods_are_checked(session):
    with pytest.raises(ValueError, match="not known"):
        session.view(None, 0, 0, method="../x")
    with pytest.raises(ValueError, match="no lifted state"):
        session.view(None, 0, 0, method="lifted")
    with pytest.raises(ValueError, match="no photo yet"):
        Session("k", session.folder).view(None, 0, 0, method="warp")


def test_the_cache_is_bounded():
    cache = ViewCache(most_bytes=3000)
    places = [checked_place(yaw, 0) for yaw in range(5)]
    for place in places:
        cache.put(place, "warp", np.zeros(1000, np.uint8))
        cache.get(places[0], "warp")
    assert cache.bytes == 3000
    kept = [cache.get(place, "warp") is not None for place in places]
    assert kept == [True, False, False, True, True]


def test_sessions_are_bounded_and_time_out(tmp_path):
    studio = build_studio(tmp_path, most_sessions=2, idle_seconds=60)
    first = studio.session("a")
    studio.session("b")
    assert studio.session("a") is first
    studio.session("c")
    assert len(studio) == 2 and studio.session("a") is first, "b was idle for longest"
    first.last_used = time.monotonic() - 61
    studio.sweep()
    assert studio.session("a") is not first
    with pytest.raises(ValueError, match="belongs to no session"):
        studio.session("")
    studio.close()


def test_only_offered_files_are_served(studio):
    answers = Answers(studio)
    answers.example("a", 0, "warp")
    answers.files("a", 10, 0, "warp")
    session = studio.session("a")
    assert studio.file(session.key, "depth.png") == session.folder / "depth.png"
    (session.folder / "other.txt").write_text("not offered")
    for key, name in (
        (session.key, "other.txt"), (session.key, "../uploads"), (session.key, ""),
        ("", "depth.png"), ("0" * 32, "depth.png"),
    ):  # fmt: skip
        assert studio.file(key, name) is None
    folder = session.folder
    studio.end("a")
    studio.run(lambda: None)
    assert not folder.exists() and studio.file(session.key, "depth.png") is None


def test_sessions_at_once_do_not_mix(studio):
    answers = Answers(studio)
    alone = {}
    for person in range(2):
        answers.example(f"alone {person}", person, "warpgan")
        for yaw in range(-20, 21, 10):
            alone[person, yaw] = answers.view(f"alone {person}", yaw, 0, "warpgan").view
    assert len(set(alone.values())) == 10

    def turn(owner: int) -> list[bool]:
        person = owner % 2
        answers.example(str(owner), person, "warpgan")
        return [
            answers.view(str(owner), yaw, 0, "warpgan").view == alone[person, yaw]
            for yaw in range(-20, 21, 10)
        ]

    with ThreadPoolExecutor(4) as people:
        assert all(all(right) for right in people.map(turn, range(4)))


def test_too_many_do_not_wait(tmp_path):
    studio = build_studio(tmp_path, most_waiting=1)
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as people:
        first = people.submit(studio.run, go_on.wait)
        while not studio._waiting:
            time.sleep(0.001)
        assert "too many people" in Answers(studio).example("b", 0, "warp").said
        go_on.set()
        first.result()
    assert Answers(studio).example("b", 0, "warp").view
    studio.close()


def test_uploads_of_a_session(studio):
    answers = Answers(studio)
    place = studio.uploads / "sent.png"
    place.write_bytes(encoded(smooth_picture(64, 2)))
    (studio.uploads / "left_empty").touch()
    answer = answers.upload("a", str(place), "fill")
    assert answer.faces == 2 and answer.chosen == 1 and "confidence 0.80" in answer.said
    assert not list(studio.uploads.iterdir()) and answer.angles == (-17.0, 0.0)
    other = answers.choose_face("a", 2, "fill")
    assert other.chosen == 2 and other.view != answer.view
    assert "does not exist" in answers.choose_face("a", 9, "fill").said
    place.write_text("a text")
    wrong = answers.upload("a", str(place), "fill")
    assert 'role="alert"' in wrong.said and wrong.view is None and not place.exists()
    assert answers.view("a", -17, 0, "fill").view == other.view, "the photo before is still there"


def test_other_files_are_not_read(studio, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(smooth_picture(64, 2)))
    for path in (secret, studio.uploads / ".." / ".." / "secret.png"):
        assert "only files uploaded" in Answers(studio).upload("a", str(path), "fill").said
    assert secret.exists()


def test_lifting_can_be_switched_off(tmp_path):
    studio = build_studio(tmp_path, may_lift=False)
    answers = Answers(studio)
    answers.example("a", 0, "warp")
    assert "switched off" in answers.lift("a", 0, 0).said
    studio.close()


def test_everything_temporary_goes(tmp_path):
    studio = build_studio(tmp_path)
    Answers(studio).example("a", 0, "warp")
    Answers(studio).files("a", 0, 0, "warp")
    (studio.uploads / "hash").mkdir()
    (studio.uploads / "hash" / "left.png").write_bytes(b"x")
    old = time.time() - 10_000
    os.utime(studio.uploads / "hash" / "left.png", (old, old))
    studio.sweep()
    assert not (studio.uploads / "hash" / "left.png").exists()
    studio.close()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_pages_go(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        (tmp_path / f"{FOLDER_PREFIX}{process}_x").mkdir()
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{FOLDER_PREFIX}{os.getpid()}_x"]
