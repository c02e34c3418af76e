"""Hostile files: random bytes, and files cut, changed and joined, read under a limit of memory.

Tests get :func:`check` as the fixture ``hostile``. How many files are tried is one setting,
``SEQBENCH_EXAMPLES``: ``make test-nightly`` tries ten times as many.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqbench.config.userdata import Bad
from seqbench.errors import Refused

EXAMPLES = int(os.environ.get("SEQBENCH_EXAMPLES", "200"))
"""Of each format."""
MOST_MEMORY = 2 * 2**30
"""Bytes that a reader may ask for."""
MOST_SECONDS = 60
_ODD = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"]


def damaged(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return valid files as they are damaged or made to do harm; seldom random bytes.

    Args:
        valid: files.
    """
    numbers = st.integers(0, len(valid) - 1)

    @st.composite
    def draw_file(draw: st.DrawFn) -> bytes:
        content = bytearray(valid[draw(numbers)])
        kind = draw(st.sampled_from(["random", "cut", "join", *["change"] * 5]))
        if kind == "random":
            start = draw(st.integers(0, min(64, len(content))))
            return bytes(content[:start]) + draw(st.binary(max_size=200))
        if kind == "cut":
            return bytes(content[: draw(st.integers(0, len(content)))])
        if kind == "join":
            other = valid[draw(numbers)]
            return bytes(content[: draw(_place(content))]) + other[draw(_place(other)) :]
        for _ in range(draw(st.integers(1, 3))):
            _change(content, draw)
        return bytes(content)

    return draw_file()


def _change(content: bytearray, draw: st.DrawFn) -> None:
    at = draw(_place(content))
    how = draw(st.sampled_from(["bit", "byte", "odd", "insert", "delete", "repeat"]))
    length = draw(st.integers(1, 16))
    if how == "bit" and content:
        content[min(at, len(content) - 1)] ^= 1 << draw(st.integers(0, 7))
    elif how == "byte":
        content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
    elif how == "odd":
        odd = draw(st.sampled_from(_ODD))
        content[at : at + len(odd)] = odd
    elif how == "insert":
        content[at:at] = draw(st.binary(min_size=1, max_size=length))
    elif how == "delete":
        del content[at : at + length]
    else:
        content[at:at] = content[at : at + length]


def _place(content: bytes | bytearray) -> st.SearchStrategy[int]:
    """Return a place in a file, as often as not in its header."""
    last = len(content)
    return st.one_of(st.integers(0, min(last, 160)), st.integers(0, last))


@contextmanager
def limited() -> Iterator[None]:
    """Let this process ask for :data:`MOST_MEMORY` more than it has, and take so long."""

    def stop(*_: object) -> None:
        raise AssertionError(f"a reader took more than {MOST_SECONDS} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    earlier = signal.signal(signal.SIGALRM, stop)
    memory = Path("/proc/self/statm")
    if memory.exists():  # on Linux
        used = int(memory.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, before[1]))
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)
        resource.setrlimit(resource.RLIMIT_AS, before)


def check(
    valid: Sequence[bytes],
    read: Callable[[bytes], Any],
    second: Callable[[bytes], Any],
    equal: Callable[[Any, Any], bool],
) -> None:
    """Read hostile files with two readers: no exception but a refusal, and one result.

    Args:
        valid: files that are read, from which others are made.
        read: what a task makes of a file; raises ``Refused`` or ``Bad``.
        second: what another reader makes of it, if the first takes it.
        equal: whether the two are the same.
    """
    taken = [equal(read(content), second(content)) for content in valid]
    assert all(taken), "a valid file is read as something else"

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES <= 200,  # the daily tests are the same every day
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(damaged(valid))
    def try_one(content: bytes) -> None:
        try:
            with limited():
                found = read(content)
        except (Refused, Bad) as refusal:
            lines = [*getattr(refusal, "details", ()), *getattr(refusal, "problems", ())]
            if isinstance(refusal, Refused):
                lines.append(str(refusal))
            assert lines, "a refusal says nothing"
            for line in lines:
                assert line.strip(), "a refusal says nothing"
                assert len(line) < 300, line
                assert line.isprintable(), line
            return
        expected = second(content)
        assert equal(found, expected), "two readers differ"

    try_one()
