"""A conformance suite as a list of checks.

A check is a function that takes a subject. It raises :class:`ConformanceError` if the promise is
broken. If the check does not apply, it returns a sentence that says why; this is no failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from seqbench.errors import Refused

GUIDE = "docs/conformance.md"
"""The page that explains each check, under a heading of its name."""

_Subject = TypeVar("_Subject")


class ConformanceError(AssertionError):
    """A broken promise.

    Args:
        seen: what was seen.
        expected: what the contract asks for.
    """

    def __init__(self, seen: str, expected: str) -> None:
        super().__init__(f"{seen}; expected: {expected}")
        self.seen = seen
        self.expected = expected


def require(condition: object, seen: str, expected: str) -> None:
    """Raise :class:`ConformanceError` unless a condition holds."""
    if not condition:
        raise ConformanceError(seen, expected)


@dataclass(frozen=True)
class Check(Generic[_Subject]):
    """One promise of a contract.

    Args:
        name: one or two words, unique in its list.
        promise: what must hold.
        run: raises :class:`ConformanceError` if the promise is broken; returns a reason if it does
            not apply, otherwise None.
    """

    name: str
    promise: str
    run: Callable[[_Subject], str | None]

    @property
    def read(self) -> str:
        """Return the page and heading that explain the check."""
        return f"{GUIDE}#{self.name.replace(' ', '-')}"


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Args:
        check: name of the check.
        promise: what must hold.
        status: ``kept``, ``broken``, or ``skipped`` if the check does not apply.
        seconds: how long the check took.
        seen: what was seen if the promise is broken, or why the check was skipped.
        expected: what was expected if the promise is broken.
        read: the page and heading that explain the check.
    """

    check: str
    promise: str
    status: Literal["kept", "broken", "skipped"]
    seconds: float
    seen: str = ""
    expected: str = ""
    read: str = ""


def run_checks(checks: Iterable[Check[_Subject]], subject: _Subject) -> Iterator[CheckResult]:
    """Run checks in order and yield each result.

    Any exception of the subject counts as a broken promise.

    Args:
        checks: the checks to run.
        subject: passed to each check.
    """
    for check in checks:
        began = time.perf_counter()
        seen = expected = ""
        status: Literal["kept", "broken", "skipped"] = "kept"
        try:
            reason = check.run(subject)
            if reason:
                status, seen = "skipped", reason
        except ConformanceError as broken:
            status, seen, expected = "broken", broken.seen, broken.expected
        except Refused as refused:
            status, seen, expected = "broken", str(refused), check.promise
        except Exception as error:
            text = " ".join(str(error).split()) or "no message"
            status, seen = "broken", f"{type(error).__name__}: {text}"
            expected = check.promise
        seconds = time.perf_counter() - began
        yield CheckResult(check.name, check.promise, status, seconds, seen, expected, check.read)
