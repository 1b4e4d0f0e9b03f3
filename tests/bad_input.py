"""Table of user mistakes and the error each gives: ``python -m tests.bad_input``.

Ends with status 1 if a mistake passes unnoticed, gives another error than documented, or an error
that was raised inside a library instead of by our packages.
"""

import importlib
import pkgutil
import sys
import tempfile
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import eg3d
import warpgan
from tests import bad_input_cases
from tests.bad_input_cases import Case

PACKAGES = tuple(Path(package.__file__).resolve().parent for package in (warpgan, eg3d))


@dataclass(frozen=True)
class Outcome:
    """What a mistake led to.

    Attributes:
        case: The mistake.
        error: The error it gave, or None.
        problem: Why that is not good enough; empty if it is.
    """

    case: Case
    error: BaseException | None
    problem: str


def collect_cases() -> list[Case]:
    """The cases of all modules in ``tests/bad_input_cases``."""
    cases: list[Case] = []
    for module in sorted(pkgutil.iter_modules(bad_input_cases.__path__), key=lambda m: m.name):
        cases += importlib.import_module(f"{bad_input_cases.__name__}.{module.name}").CASES
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"cases defined twice: {', '.join(twice)}")
    return cases


def try_case(case: Case, folder: Path) -> Outcome:
    """Make the mistake in an empty folder and judge the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.run(folder)
    except (Exception, SystemExit) as error:
        return Outcome(case, error, _problem(case, error, folder))
    return Outcome(case, None, "passed unnoticed")


def _problem(case: Case, error: BaseException, folder: Path) -> str:
    origin = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    if not any(origin.is_relative_to(package) for package in PACKAGES):
        return f"raised in {origin}, not by our packages"
    if not isinstance(error, case.expected):
        return f"is a {type(error).__name__}, expected {case.expected.__name__}"
    absent = [part for part in case.message_parts if part not in str(error)]
    if absent:
        return f"does not say {absent}"
    if case.after is not None:
        try:
            case.after(folder)
        except AssertionError as lost:
            return f"something was lost: {lost}"
    return ""


def main() -> int:
    """Print the table; returns the exit code."""
    cases = collect_cases()
    failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            outcome = try_case(case, Path(folder))
            told = (
                f"{type(outcome.error).__name__}: {outcome.error}" if outcome.error else "nothing"
            )
            told = told.replace(folder, "DIR").replace("\n", " / ")
        print(f"| {case.name} | {told} |")
        if outcome.problem:
            failed += 1
            print(f"  WRONG: {outcome.problem}")
    print(f"{len(cases)} cases, {failed} wrong")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
