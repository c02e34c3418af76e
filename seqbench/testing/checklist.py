"""A conformance suite as a list of checks: what each promises, what it saw, where to read.

A check is a function that takes a subject and raises :class:`ConformanceError`; or it returns a
sentence on why it does not apply, which is no failure. Lists of checks are run one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from seqbench.errors import Refused

GUIDE = "docs/conformance.md"
"""Where each check is explained, under a heading of its name."""

_Subject = TypeVar("_Subject")


class ConformanceError(AssertionError):
    """A promise that was not kept.

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
        name: of one word or two, unique in its list.
        promise: what must hold.
        run: looks whether it does; returns why it does not apply, or nothing.
    """

    name: str
    promise: str
    run: Callable[[_Subject], str | None]

    @property
    def read(self) -> str:
        """Where it is explained."""
        return f"{GUIDE}#{self.name.replace(' ', '-')}"


@dataclass(frozen=True)
class CheckResult:
    """What became of a check.

    Args:
        check: its name.
        promise: what must hold.
        status: ``kept``, ``broken``, or ``skipped`` where it does not apply.
        seconds: that it took.
        seen: what was seen where it is broken; why it was skipped.
        expected: what was expected where it is broken.
        read: where it is explained.
    """

    check: str
    promise: str
    status: Literal["kept", "broken", "skipped"]
    seconds: float
    seen: str = ""
    expected: str = ""
    read: str = ""


def run_checks(checks: Iterable[Check[_Subject]], subject: _Subject) -> Iterator[CheckResult]:
    """Run checks one after the other and yield what became of each.

    A check that ends with another exception is broken too: the subject raised it.

    Args:
        checks: of one list.
        subject: what they look at.
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
