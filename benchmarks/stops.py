"""How many functions the settings, and a batch, pass through during one trial.

    python benchmarks/stops.py [--list]

One smoke trial of the music task runs with a profile function (``sys.setprofile``) that looks at
every call of a function of seqbench, its models and its tasks. A function is a *stop* of the
settings if one of its calls receives them:

* an argument, or a variable of an enclosing function that it uses, is a ``Settings`` or one of its
  sections ``Recipe``, ``TrainerSettings``, ``TrackingSettings`` or ``Limits``;
* or an argument is an object with such an attribute of its own: the ``self`` of a method whose
  object keeps them, a dataclass that carries them. Attributes of attributes are not looked at.

Stops of a batch are found alike, by the class ``Batch``. A function counts once, however often it
is called; comprehensions and generator expressions count as the function they stand in, and what
dataclasses generate does not count. ``--list`` names the stops, by module.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from seqbench.api import Batch
from seqbench.config.composition import compose
from seqbench.config.settings import Limits, Recipe, Settings, TrackingSettings, TrainerSettings
from seqbench.config.settings import __file__ as _inside
from seqbench.trials.equal_size import trial_settings
from seqbench.trials.run import run

ROOT = Path(_inside).parents[2]
FOLDERS = tuple(f"{ROOT / name}{os.sep}" for name in ("seqbench", "plugins", "tasks"))
KINDS: dict[str, tuple[type, ...]] = {
    "settings": (Settings, Recipe, TrainerSettings, TrackingSettings, Limits),
    "batch": (Batch,),
}
WORDS = ["task=music", "model=lstm", "experiment=smoke", "trainer.progress=false"]

Stop = tuple[str, str]
"""A function: its module's path in the project, and its qualified name."""


class Stops:
    """The functions that receive an object of each kind, while :meth:`watching`."""

    def __init__(self) -> None:
        self.found: dict[str, set[Stop]] = {kind: set() for kind in KINDS}
        self._ours: dict[CodeType, Stop | None] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at every call made inside, in every thread."""
        threading.setprofile(self._look)
        sys.setprofile(self._look)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in self._ours:
            self._ours[code] = _stop(code)
        stop = self._ours[code]
        if stop is None:
            return
        for kind, classes in KINDS.items():
            if stop not in self.found[kind] and any(
                _holds(value, classes) for value in frame.f_locals.values()
            ):
                self.found[kind].add(stop)


def _stop(code: CodeType) -> Stop | None:
    """Return the function of ours whose code it is, None if it is none or not counted by itself."""
    if not code.co_filename.startswith(FOLDERS) or code.co_name == "<module>":
        return None
    if code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"):
        return None
    return str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname


def _holds(value: Any, classes: tuple[type, ...]) -> bool:
    """Return whether a value is of the classes, or has an attribute that is."""
    if isinstance(value, classes):
        return True
    if isinstance(value, type):
        return False
    attributes = getattr(value, "__dict__", None)
    return type(attributes) is dict and any(
        isinstance(item, classes) for item in attributes.values()
    )


def main(listed: bool) -> None:
    """Run one trial, and print the figures."""
    settings = trial_settings(compose(WORDS), WORDS)
    stops = Stops()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with stops.watching():
                run(settings)
        finally:
            os.chdir(before)
    for kind, found in stops.found.items():
        modules = {module for module, _ in found}
        print(f"{kind}: {len(found)} functions in {len(modules)} modules")
        for module in sorted(modules) if listed else ():
            names = sorted(name for other, name in found if other == module)
            print(f"  {module}: {', '.join(names)}")


if __name__ == "__main__":
    main("--list" in sys.argv[1:])
