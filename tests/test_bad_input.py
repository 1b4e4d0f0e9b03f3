import pytest

from tests.bad_input import collect_cases, try_case
from tests.bad_input_cases import Case
from warpgan.cameras import look_at


@pytest.mark.parametrize("case", collect_cases(), ids=lambda case: case.name)
def test_mistake_gives_a_clear_error(case, tmp_path):
    outcome = try_case(case, tmp_path)
    assert not outcome.problem, f"{outcome.problem}\n{outcome.error!r}"


def lost(folder):
    raise AssertionError("a file")


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (Case("fine", lambda folder: None, ValueError, ()), "passed unnoticed"),
        (Case("library", lambda folder: [].pop(), IndexError, ()), "not by our packages"),
        (Case("type", lambda folder: look_at(0, 90), KeyError, ()), "expected KeyError"),
        (Case("text", lambda folder: look_at(0, 90), ValueError, ("roll",)), "does not say"),
        (Case("lost", lambda folder: look_at(0, 90), ValueError, (), lost), "was lost: a file"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_judge_sees_what_is_wrong(case, problem, tmp_path):
    assert problem in try_case(case, tmp_path).problem
