"""What a user's mistake becomes: one clear line, and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Literal

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130


class SeqbenchError(Exception):
    """A message for the user, in one line; the command line prints it without a traceback."""


class Refused(SeqbenchError):  # noqa: N818 - "refused" is the exit code's own word
    """What was asked cannot be done, and nothing was started (exit code 2).

    Args:
        message: why, in one line.
        details: what is wrong in each of several places, a line each; printed below the message.
    """

    def __init__(self, message: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)

    def within(self, what: str) -> Refused:
        """Return the same refusal, which says first what was refused."""
        return type(self)(f"{what}: {self}", self.details)


class TrialFailed(SeqbenchError):  # noqa: N818
    """A trial had started and did not finish (exit code 1).

    Args:
        message: why.
        status: how it ended, see :data:`seqbench.records.Status`.
    """

    def __init__(self, message: str, status: Literal["FAILED", "TIMEOUT", "OOM"] = "FAILED"):
        super().__init__(message)
        self.status = status


class Busy(Refused):
    """Another process runs the same trial just now."""


TRACEBACK = "SEQBENCH_TRACEBACK"
"""Environment variable: 1 shows tracebacks."""


def is_interrupt(error: BaseException) -> bool:
    """Return whether Ctrl-C or SIGTERM became this exception (Lightning exits because of it)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of the known names, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def unknown(what: str, name: str, known: Iterable[str]) -> Refused:
    """Return the refusal for a name that nobody knows: the value, what is allowed, the nearest."""
    names = sorted(known)
    listing = ", ".join(names) if names else "none"
    return Refused(f"unknown {what} '{name}'{did_you_mean(name, names)}; known: {listing}")
