"""What a user's mistake becomes: one clear line, and an exit code."""

from __future__ import annotations

import difflib
import re
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

    def __init__(
        self, message: str, status: Literal["FAILED", "TIMEOUT", "OOM", "KILLED"] = "FAILED"
    ) -> None:
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
    bare = {item.lstrip("-"): item for item in known}  # dashes make any two flags alike
    matches = difflib.get_close_matches(name.lstrip("-"), list(bare), n=1, cutoff=0.6)
    return f" (did you mean '{bare[matches[0]]}'?)" if matches else ""


def shortened(text: str, most: int = 100) -> str:
    """Return a user's text as a message may hold it."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def listed(names: Iterable[str], most: int = 180) -> str:
    """Return names with commas between them, as many as a message has room for; ``none`` of none.

    Args:
        names: in the order in which they are shown.
        most: characters.
    """
    left = list(names)
    shown: list[str] = []
    while left and (not shown or len(", ".join([*shown, left[0]])) <= most):
        shown.append(left.pop(0))
    more = f" and {len(left)} more" if left else ""
    return (", ".join(shown) or "none") + more


LONGEST = 300
"""Characters of a line of a message."""


def folded(text: str) -> list[str]:
    """Return a message in lines of at most :data:`LONGEST` characters.

    A long one is broken after its parts, which `;` and `:` end, so that a command stays whole: one
    that is longer by itself has its line alone.
    """
    lines = [text]
    while len(lines[-1]) > LONGEST:
        last = lines[-1]
        ends = [found.end() for found in re.finditer(r"[;:](?= )", last)]
        fitting = [end for end in ends if end <= LONGEST and last[:end].strip()]
        if not fitting:
            break
        lines[-1:] = [last[: fitting[-1]], f"  {last[fitting[-1] :].strip()}"]
    return lines


def why_not(error: OSError) -> str:
    """Return why a file or folder cannot be written, in words."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file is there, and no folder"
    if isinstance(error, FileNotFoundError):
        return "there is no such folder"
    return error.strerror or str(error)


def unknown(what: str, name: str, known: Iterable[str]) -> Refused:
    """Return the refusal for a name that nobody knows: the value, what is allowed, the nearest."""
    names = sorted(known)
    hint = did_you_mean(name, names)
    return Refused(f"unknown {what} '{shortened(name, 60)}'{hint}; known: {listed(names)}")
