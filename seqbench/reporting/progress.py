"""How far something is: functions hand their items to a watcher, which may show a bar."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class ProgressWatch(Protocol):
    """Hands on items one by one, and may show how far it is."""

    def __call__(self, items: Iterable[_Item], title: str, total: int) -> Iterable[_Item]:
        """Return the items; ``title`` says what is done with them, ``total`` how many they are."""


def unwatched(items: Iterable[_Item], title: str, total: int) -> Iterable[_Item]:
    """Return the items, and show nothing."""
    return items


def watched(items: Iterable[_Item], title: str, total: int) -> Iterable[_Item]:
    """Return the items, and show a bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, title, total=total, console=Console(stderr=True), transient=True)
