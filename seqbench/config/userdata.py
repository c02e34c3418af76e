"""Reading a user's own folder: which files count, and all that is wrong with any of them at once.

Tasks read every ``source`` through :class:`UserData`, so that the same names are skipped by all of
them, and a bad file is answered in the same way::

    data = UserData(Path(source), skip_bad)
    tables = data.read(data.find((".csv",), "CSV files"), read_table)
    ...
    data.left_out  # what is not used, and why
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from seqbench.errors import Refused
from seqbench.records import LeftOut

MOST_FILES = 200_000
"""Files of a folder: more are taken for the wrong folder."""
MOST_DETAILS = 200
"""Lines of a refusal."""
_COPY = re.compile(
    r"^cop(?:y|ie|ia)\b.* (?:of|de|di) |^kopie\b.* von "
    r"|[ _-]\(?(?:\w+ )?(?:copy|kopie|copie|copia)\)?[ _-]?\(?\d*\)?$|\(\d+\)$",
    re.IGNORECASE,
)
"""What programs call a copy: ``a (copy)``, ``a - Copy (2)``, ``Copy of a``, ``a_copy``, ``a(1)``"""
_SYSTEM = ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information")

T = TypeVar("T")


class Bad(Exception):  # noqa: N818 - what a file is
    """A file that cannot be used.

    Args:
        problems: all that is wrong with it, each with its place (line, byte) and what to do.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(map(_printable, problems))
        super().__init__("; ".join(self.problems))


def _printable(text: str) -> str:
    """Return a text on one line: what a file, or a library's words about it, hold may be none."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of all that lie below, links followed, in order.

    Hidden files and those of the system are none: ``.DS_Store``, ``__MACOSX``, ``a.csv~``.

    Raises:
        OSError: a folder cannot be read.
    """
    return (path for path, is_hidden in _walk(folder) if not is_hidden)


class UserData:
    """A user's own file or folder.

    Args:
        path: as it was given.
        skip_bad: whether to go on without what cannot be used.
        reads: the task's ``source_files``; refusals name the tasks that read other files.
    """

    def __init__(self, path: Path, skip_bad: bool = False, reads: Sequence[str] = ()) -> None:
        self.path = path
        self.skip_bad = skip_bad
        self.reads = reads
        self.left_out: list[LeftOut] = []
        self._copies: dict[str, list[str]] = {}

    def find(self, suffixes: Sequence[str], what: str, below: Path | None = None) -> list[Path]:
        """Return the files with one of the suffixes, in the order of their names.

        The path itself if it is a file; else the files of the folder and of all that lie below. Of
        files with the same bytes one counts: no link, none that is called a copy, else the first.
        Hidden ones do not count.

        Args:
            suffixes: in small letters, for example ``.csv``; the case of a file's does not matter.
            what: the files, for a message.
            below: a folder inside the path to look in; None looks in all of it.

        Raises:
            Refused: there is none, or a folder cannot be read.
        """
        folder = self.path if below is None else below
        if folder.is_file():
            if folder.suffix.lower() not in suffixes and (others := self.elsewhere()):
                kinds = ", ".join(suffixes)
                raise Refused(f"task.source '{folder}' is none of the {what} ({kinds})", others)
            return [folder]
        check_exists(folder)
        found: list[Path] = []
        counts: Counter[str] = Counter()
        try:
            for path, is_hidden in _walk(folder):
                if path.suffix.lower() not in suffixes:
                    counts[path.suffix.lower() or "no suffix"] += not is_hidden
                elif is_hidden:
                    self._leave_out(path, "it is hidden, or a copy that a program made")
                elif not path.is_file():
                    self._leave_out(path, "it is a link to nothing")
                else:
                    found.append(path)
                if len(found) > MOST_FILES:
                    raise Refused(f"task.source '{folder}' holds more than {MOST_FILES:,} {what}")
            found = self._without_copies(found)
        except OSError as error:
            raise Refused(f"cannot read '{error.filename or folder}': {error.strerror}") from error
        if not found:
            kinds = ", ".join(f"{count} {name}" for name, count in counts.most_common(3) if count)
            instead = f"; it holds {kinds}" if kinds else ""
            raise Refused(
                f"task.source '{folder}' holds no {what} ({', '.join(suffixes)}){instead}",
                self.elsewhere(),
            )
        return found

    def elsewhere(
        self, options: Mapping[str, str] | None = None, shared: bool = False
    ) -> list[str]:
        """Return lines that name the tasks which read what this one does not, with their commands.

        Args:
            options: parameters of such a task, for example ``{"id": "stay"}``.
            shared: whether tasks count that read files of the same suffix in another form.
        """
        from seqbench.config.readers import other_tasks  # which needs the registry

        with suppress(OSError):
            files = [self.path] if self.path.is_file() else files_below(self.path)
            found = list(itertools.islice(files, MOST_FILES))
            return other_tasks(self.path, found, self.reads, options or {}, shared)
        return []

    def name(self, path: Path) -> str:
        """Return a file's path inside the folder, with forward slashes."""
        return path.name if path == self.path else path.relative_to(self.path).as_posix()

    def read(self, paths: Iterable[Path], reader: Callable[[Path], T]) -> dict[Path, T]:
        """Return what a reader makes of each file that can be used.

        Args:
            paths: of files.
            reader: raises :class:`Bad` for a file that cannot be used.

        Raises:
            Refused: a file is bad, and bad ones are not to be skipped; or all are.
        """
        found: dict[Path, T] = {}
        bad: dict[str, Sequence[str]] = {}
        for path in paths:
            try:
                found[path] = reader(path)
            except Bad as error:
                bad[self.name(path)] = error.problems
            except OSError as error:
                bad[self.name(path)] = [f"it cannot be read: {error.strerror or error}"]
        if not self.skip_bad:  # else copies are left out as such
            for name in list(bad):
                for copy in self._copies.get(name, ()):
                    bad[copy] = [f"it has the same bytes as {name}"]
        self.drop(bad, len(found) + len(bad), "files")
        return found

    def drop(self, bad: Mapping[str, Sequence[str]], total: int, what: str) -> None:
        """Leave out what cannot be used, or refuse all that is wrong with it.

        Args:
            bad: the problems of each, by name.
            total: how many there are, good ones too.
            what: the things, for a message: ``files``.

        Raises:
            Refused: bad ones are not to be skipped, or all are bad.
        """
        if not bad:
            return
        if self.skip_bad and len(bad) < total:
            self.left_out += [LeftOut(name, "; ".join(found)) for name, found in bad.items()]
            return
        instead = self.elsewhere() if self.reads else []
        if self.path.is_file() and list(bad) == [self.path.name]:
            first, *others = bad[self.path.name]
            raise Refused(
                f"task.source '{self.path}': {first}",
                [*(f"  {line}" for line in others), *instead],
            )
        if len(bad) < total:
            advice = "; task.skip_bad=true goes on without them"
            raise self.refusal(f"{len(bad)} of {total} {what} cannot be used{advice}", bad)
        refusal = self.refusal(f"{len(bad)} of {total} {what} cannot be used", bad)
        raise Refused(str(refusal), [*refusal.details, *instead])

    def refusal(self, reason: str, bad: Mapping[str, Sequence[str]]) -> Refused:
        """Return a refusal with the problems of each thing below it.

        Args:
            reason: in a line, which begins with the path.
            bad: the problems of each, by name.
        """
        lines = [f"  {name}: {problem}" for name, found in bad.items() for problem in found]
        if len(lines) > MOST_DETAILS:
            lines[MOST_DETAILS - 1 :] = [f"  ... and {len(lines) - MOST_DETAILS + 1} more"]
        return Refused(f"task.source '{self.path}': {reason}", lines)

    def _leave_out(self, path: Path, reason: str) -> None:
        self.left_out.append(LeftOut(self.name(path), reason))

    def _without_copies(self, paths: list[Path]) -> list[Path]:
        """Return one of the files with the same bytes, which is not called a copy if one is not."""
        sizes = Counter(path.stat().st_size for path in paths)
        same: dict[str, list[Path]] = {}
        for path in paths:
            key = str(path)
            if sizes[path.stat().st_size] > 1:
                with path.open("rb") as file:
                    key = hashlib.file_digest(file, "sha256").hexdigest()
            same.setdefault(key, []).append(path)
        kept = {key: min(files, key=self._likeness_to_a_copy) for key, files in same.items()}
        for key, files in same.items():
            first = self.name(kept[key])
            for path in files:
                if path is not kept[key]:
                    self._copies.setdefault(first, []).append(self.name(path))
                    self._leave_out(path, f"it has the same bytes as {first}")
        chosen = set(kept.values())
        return [path for path in paths if path in chosen]

    def _likeness_to_a_copy(self, path: Path) -> tuple[bool, bool]:
        """Return what orders files with the same bytes; of equal ones the first counts."""
        *folders, _ = Path(self.name(path)).parts
        is_called_so = any(map(_COPY.search, (*folders, path.stem)))
        return path.is_symlink(), is_called_so


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each file below a folder, and whether it is hidden or lies in a hidden folder."""
    seen = set()  # a link may lead back to a folder above it

    def refuse(error: OSError) -> None:
        raise error

    hidden_below: dict[str, bool] = {os.fspath(folder): False}
    for inside, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        facts = os.stat(inside)
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        is_hidden = hidden_below[inside]
        folders.sort()
        for name in folders:
            hidden_below[os.path.join(inside, name)] = is_hidden or _is_hidden(name)
        for name in sorted(names):
            yield Path(inside, name), is_hidden or _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in _SYSTEM


def check_exists(path: Path) -> None:
    """Refuse a path at which there is nothing, with the nearest that exists.

    Raises:
        Refused: it does not exist, or a folder above it cannot be read.
    """
    try:
        if path.exists():
            return
    except OSError as error:
        raise Refused(f"task.source '{path}' cannot be read: {error.strerror}") from error
    raise Refused(f"task.source '{path}' does not exist{_nearest(path)}")


def _nearest(path: Path) -> str:
    """Return a hint at what lies beside the first part of a path that does not exist."""
    above = next((folder for folder in path.parents if folder.is_dir()), None)
    if above is None:
        return ""
    missing, *rest = path.relative_to(above).parts
    names: list[str] = []
    with suppress(OSError):
        names = sorted(beside.name for beside in above.iterdir() if not _is_hidden(beside.name))
    if near := difflib.get_close_matches(missing, names, n=1, cutoff=_LIKE):
        whole = above.joinpath(near[0], *rest)
        return f" (did you mean '{whole if whole.exists() else above / near[0]}'?)"
    return ""


_LIKE = 0.6
