"""Times are taken by a clock that the method itself turns, so no machine can be too slow."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from warpgan.cameras import look_at
from warpgan.evaluation import timing as timing_module
from warpgan.evaluation.items import Item
from warpgan.evaluation.records import PhotoCost
from warpgan.evaluation.timing import elapsed, time_method
from warpgan.methods.base import Inversion, Method, Views

SIZE = 8


class Clock:
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


class Sleeper(Method):
    """Takes the seconds that a list says, run by run; the last one again and again."""

    name, image_size = "sleeper", SIZE

    def __init__(self, clock: Clock, *, invert: list[float], render: list[float]) -> None:
        self.clock = clock
        self.seconds = {"invert": list(invert), "render": list(render)}
        self.photos: list[float] = []
        self.cameras: list[torch.Tensor] = []

    def take(self, what: str) -> None:
        left = self.seconds[what]
        self.clock.now += left.pop(0) if len(left) > 1 else left[0]

    def invert(self, photo: torch.Tensor, camera: torch.Tensor) -> "Asleep":
        assert photo.shape == (1, 3, SIZE, SIZE) and camera.shape == (1, 25)
        self.photos.append(photo.mean().item())
        self.take("invert")
        return Asleep(self)


class Asleep(Inversion):
    seconds = 0.0

    def __init__(self, method: Sleeper) -> None:
        self.method = method

    def render(self, cameras: torch.Tensor) -> Views:
        assert cameras.shape == (1, 1, 25)
        self.method.cameras.append(cameras[0, 0])
        self.method.take("render")
        image = torch.zeros(1, 1, 3, SIZE, SIZE)
        return Views(image, image[:, :, :1], 0.0)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing_module, "time", clock)
    return clock


@pytest.fixture(scope="module")
def photos() -> SimpleNamespace:
    samples = [
        SimpleNamespace(image=torch.full((3, SIZE, SIZE), value), camera=look_at(0.0, 0.0)[0])
        for value in (0.25, 0.5, 0.75)
    ]
    return SimpleNamespace(dataset=samples)


@pytest.fixture(scope="module")
def items() -> list[Item]:
    cameras = look_at([-30.0, 30.0], 0.0)
    return [Item(f"person {n}", n, cameras, ("left", "right"), None) for n in range(3)]


def test_medians_without_the_warm_up(clock, photos, items):
    method = Sleeper(clock, invert=[2.0, 2.0, 0.1, 0.9, 0.2], render=[5.0, 5.0, 0.03, 0.01, 0.02])
    found = time_method(method, photos, items, repeats=3, warm_up=2)
    assert found.invert == pytest.approx(0.2) and found.render_per_view == pytest.approx(0.02)
    assert (found.repeats, found.warm_up, found.device) == (3, 2, "cpu")
    assert found.threads == torch.get_num_threads()
    assert "batch 1" in found.note and "wall clock" in found.note


def test_photos_and_views_come_in_turn(clock, photos, items):
    method = Sleeper(clock, invert=[0.1], render=[0.1])
    time_method(method, photos, items, repeats=5, warm_up=1)
    assert method.photos == pytest.approx([0.25, 0.5, 0.75, 0.25, 0.5, 0.75])
    shown = torch.stack(method.cameras)
    assert torch.equal(shown, items[0].cameras.repeat(3, 1))


def test_a_slow_method_is_not_repeated(clock, photos, items):
    method = Sleeper(clock, invert=[3.5], render=[0.5])
    recorded = [
        PhotoCost(invert=4.0, render=1.0, views=4, steps=100),
        PhotoCost(invert=0.0, render=0.0, views=4, steps=0, failed=True),
        PhotoCost(invert=2.0, render=3.0, views=4, steps=100),
        PhotoCost(invert=9.0, render=2.0, views=4, steps=100),
    ]
    found = time_method(method, photos, items, repeats=20, limit_seconds=60, recorded=recorded)
    assert len(method.photos) == 1
    assert found.invert == 4.0 and found.render_per_view == 0.5
    assert (found.repeats, found.warm_up) == (3, 0)
    assert "not repeated" in found.note and "3 photos as recorded" in found.note


def test_a_slow_method_without_records_tells_of_its_one_run(clock, photos, items):
    method = Sleeper(clock, invert=[7.0], render=[0.25])
    found = time_method(method, photos, items)
    assert (found.invert, found.render_per_view, found.repeats) == (7.0, 0.25, 1)
    assert "one run" in found.note


def test_the_limit_counts_all_repetitions(clock, photos, items):
    method = Sleeper(clock, invert=[2.9], render=[0.1])
    assert time_method(method, photos, items, repeats=20, limit_seconds=60).repeats == 20
    assert len(method.photos) == 22


class Hungry(Sleeper):
    def invert(self, photo: torch.Tensor, camera: torch.Tensor) -> Asleep:
        assert np.ones(64 * 2**20, np.uint8).sum() > 0
        return super().invert(photo, camera)


def test_peak_memory_is_seen(clock, photos, items):
    hungry = Hungry(clock, invert=[0.1], render=[0.1])
    found = time_method(hungry, photos, items, repeats=2, warm_up=1)
    assert found.peak_memory_bytes >= 0
    if "peak reset" in found.note:
        assert 32 * 2**20 < found.peak_memory_bytes < 2**30


def test_without_a_peak_to_reset_the_note_says_so(clock, photos, items, monkeypatch):
    monkeypatch.setattr(timing_module, "_reset_peak", lambda: False)
    method = Sleeper(clock, invert=[0.1], render=[0.1])
    found = time_method(method, photos, items, repeats=1, warm_up=1)
    assert found.peak_memory_bytes >= 0 and "could not be reset" in found.note


def test_cuda_is_timed_by_events_and_waited_for(monkeypatch):
    log: list[str] = []

    class Event:
        made = 0

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.number = Event.made
            Event.made += 1

        def record(self) -> None:
            log.append(f"record {self.number}")

        def elapsed_time(self, other: "Event") -> float:
            assert (self.number, other.number) == (0, 1)
            return 250.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("wait"))

    def work() -> str:
        log.append("work")
        return "done"

    assert elapsed(work, torch.device("cuda")) == ("done", 0.25)
    assert log == ["wait", "record 0", "work", "record 1", "wait"]


@pytest.mark.parametrize(
    ("options", "match"), [({"repeats": 0}, "repeats=0"), ({"warm_up": 0}, "warm_up=0")]
)
def test_what_makes_no_sense_is_refused(clock, photos, items, options, match):
    method = Sleeper(clock, invert=[0.1], render=[0.1])
    with pytest.raises(ValueError, match=match):
        time_method(method, photos, items, **options)
    with pytest.raises(ValueError, match="no photos"):
        time_method(method, photos, [])
