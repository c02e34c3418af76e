"""Which code this process has imported: what is hashed must be what runs.

A file that is edited while a process runs is hashed as it stands now, and stays imported as it was.
A trial of such code is refused, because it would be recorded under code that did not run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from seqbench.errors import Refused
from seqbench.registry.codehash import ReachedCode
from seqbench.registry.modules import source_text
from seqbench.registry.reach import Own, lies_in

_imported: dict[Path, str] = {}
"""The text of each file when it was imported."""


def note(own: Own) -> None:
    """Remember what a plugin has just imported of its own code."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        is_own = name.partition(".")[0] in own.names
        if is_own or (own.folder and lies_in(Path(own.folder), Path(file))):
            _note(Path(file))


def note_code(code: ReachedCode) -> None:
    """Remember code that has just been imported.

    Raises:
        Refused: a file was changed after it was imported, or while it was.
    """
    if not code.is_unchanged():
        changed = [path for path, text in code.files.items() if _text(path) != text]
        raise _refusal(changed[0] if changed else next(iter(code.files)))
    for path in code.files:
        _note(path)
    check(code)


def check(code: ReachedCode) -> None:
    """Refuse code that was imported as something else.

    Raises:
        Refused: a file was changed after it was imported.
    """
    for path, text in code.files.items():
        if _imported.get(path, text) == text:
            continue
        if any(getattr(module, "__file__", "") == str(path) for module in [*sys.modules.values()]):
            raise _refusal(path)
        del _imported[path]  # it is imported anew


def _note(path: Path) -> None:
    text = _text(path)
    if text is not None:
        _imported.setdefault(path, text)


def _text(path: Path) -> str | None:
    try:
        return source_text(path)
    except (OSError, ValueError):
        return None


def _refusal(path: Path) -> Refused:
    return Refused(
        f"{path} was changed since this process started, which still runs the code of before; "
        "start it again (in a notebook, restart the kernel)"
    )
