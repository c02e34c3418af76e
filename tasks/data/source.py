"""A user's file or folder: which of its files are read, as what, and what they hold together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad, UserData
from seqbench.errors import Refused, did_you_mean, listed
from seqbench.records import LeftOut
from seqbench.tasks._choices import word
from seqbench.tasks.data.arff import read_arff
from seqbench.tasks.data.arrays import collect, read_npy, read_npz
from seqbench.tasks.data.collection import MOST_BYTES, Collection, ReadSequence
from seqbench.tasks.data.columns import ColumnChoice
from seqbench.tasks.data.longformat import read_csv, read_parquet
from seqbench.tasks.data.ts import read_ts

KINDS = {
    ".ts": (".ts",),
    ".arff": (".arff",),
    ".npz": (".npz",),
    ".npy": (".npy",),
    ".parquet": (".parquet", ".pq"),
    ".csv": (".csv", ".tsv"),
}
"""Forms by their suffixes; where a folder has several, the first of these is read."""
# All of these, written out: `source_files` of tasks is read from the source, without running it.
SUFFIXES = (".ts", ".arff", ".npz", ".npy", ".parquet", ".pq", ".csv", ".tsv")
_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_PARTS |= {"valid": "valid", "validation": "valid", "val": "valid", "dev": "valid"}
_PART = re.compile(rf"(?:(.*?)[-_. ])?({'|'.join(_PARTS)})", re.IGNORECASE)


def read_source(data: UserData, columns: ColumnChoice, problem: str | None) -> Collection:
    """Return the sequences of a source; each has a unique name.

    Args:
        data: the file or folder.
        columns: which columns of tables are what.
        problem: which of several problems in a folder; None: there is one.

    Raises:
        Refused: there is nothing to read, several problems, or files that cannot be used.
    """
    paths = data.find(SUFFIXES, "sequence files")
    kinds = {path: _kind(path) for path in paths}
    chosen = next((kind for kind in KINDS if kind in kinds.values()), None)
    if chosen is None:
        raise Refused(
            f"task.source '{data.path}' is of no form that is read: {', '.join(SUFFIXES)}",
            data.elsewhere(),
        )
    data.left_out += [
        LeftOut(data.name(path), f"the folder's {chosen} files are read")
        for path, kind in kinds.items()
        if kind != chosen
    ]
    paths = [path for path in paths if kinds[path] == chosen]
    if chosen in (".ts", ".arff"):
        paths = _one_problem(data, paths, problem)
    elif problem is not None:
        raise Refused(f"task.problem={problem} is for folders of .ts and .arff files")
    if chosen == ".npy":
        return _of_arrays(data, paths)
    parts = _parts(data, paths)

    def read(path: Path) -> Collection:
        part = parts.get(path, "")
        content = _bytes(path)
        if chosen == ".ts":
            return read_ts(content, part)
        if chosen == ".arff":
            return read_arff(content, part)
        if chosen == ".npz":
            return _in_part(read_npz(content), part)
        name = path.stem
        reader = read_parquet if chosen == ".parquet" else read_csv
        return reader(content, columns, name, part)

    try:
        found = data.read(paths, read)
    except Refused as refusal:
        if chosen != ".npz":
            raise
        raise Refused(str(refusal), [*refusal.details, *data.elsewhere(shared=True)]) from None
    trains = [path for path in found if parts.get(path) == "train"]
    for part in sorted(set(parts.values())):
        if not any(parts.get(path) == part for path in found):  # else another would stand for it
            raise Refused(
                f"task.source '{data.path}': no file of its {part} part can be used",
                [f"  {name}: {reason}" for name, reason in data.left_out],
            )
    first = {path: found[path] for path in trains[:1]}  # its columns are the others' too
    return _together(data, first | found)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), "")


def _bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Bad(f"it has {size:,} bytes; {MOST_BYTES:,} are the most")
    return path.read_bytes()


def _part_of(path: Path) -> tuple[str, str]:
    """Return a file's problem and its part, as its name says them."""
    found = _PART.fullmatch(path.stem)
    return ((found[1] or ""), _PARTS[found[2].lower()]) if found else (path.stem, "")


def _one_problem(data: UserData, paths: Sequence[Path], wanted: str | None) -> list[Path]:
    """Return the files of one problem.

    Raises:
        Refused: there are several, of which each is listed as it can be given, or there is none
            of this name.
    """
    found: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        found.setdefault((path.parent, _part_of(path)[0] or path.parent.name), []).append(path)
    counts = Counter(name for _, name in found)
    problems = {  # of the same name in two folders, by their places
        name if counts[name] == 1 else data.name(folder / name): files
        for (folder, name), files in found.items()
    }
    names = sorted(problems)
    if wanted is not None:
        if wanted not in problems:
            raise Refused(
                f"task.problem={wanted}: task.source '{data.path}' has no problem of this name"
                f"{did_you_mean(wanted, names)}; it has {listed(names)}"
            )
        return problems[wanted]
    if len(problems) == 1:
        if data.path.is_file():
            _refuse_half(data.path)
        return problems[names[0]]
    ways = [word("task.problem", name) for name in names]
    raise Refused(
        f"task.source '{data.path}' has {len(problems)} problems; one at a time is trained on, for"
        f" example {ways[0]}",
        [f"  {way}" for way in ways],
    )


def _refuse_half(path: Path) -> None:
    """Refuse one part of a problem whose other part lies beside it.

    Raises:
        Refused: there is one.
    """
    stem, part = _part_of(path)
    if not part:
        return
    others = [
        beside
        for beside in sorted(path.parent.iterdir())
        if beside != path and beside.suffix == path.suffix and _part_of(beside)[0] == stem
    ]
    if others:
        raise Refused(
            f"task.source '{path}' is one part of a problem, and {others[0].name} another; name"
            f" the folder: task.source='{path.parent}'" + (f" task.problem={stem}" if stem else "")
        )


def _parts(data: UserData, paths: Sequence[Path]) -> dict[Path, str]:
    """Return the part of each file: its name's, or a folder's above it; none if there is no test.

    Raises:
        Refused: some files say their part, and others do not.
    """
    found = {}
    for path in paths:
        inside = Path(data.name(path)).parts[:-1]
        named = [_PARTS[name.lower()] for name in inside if name.lower() in _PARTS]
        found[path] = _part_of(path)[1] or (named[-1] if named else "")
    if "test" not in found.values() or "train" not in found.values():
        return {}
    silent = {
        data.name(path): ["its name says neither train, valid nor test, as others do"]
        for path, part in found.items()
        if not part
    }
    data.drop(silent, len(found), "files")
    return {path: part for path, part in found.items() if part}


def _of_arrays(data: UserData, paths: Sequence[Path]) -> Collection:
    """Return what a folder's ``.npy`` files hold, or one such file."""
    if data.path.is_file():
        arrays = data.read(paths, lambda path: read_npy(_bytes(path)))
        found = data.read(paths, lambda path: collect({"X": arrays[path]}))
        return _together(data, found)
    folders = {path.parent for path in paths}
    if len(folders) > 1:
        raise Refused(
            f"task.source '{data.path}' has .npy files in {len(folders)} folders; name one:"
            f" task.source='{min(folders)}'"
        )
    read = data.read(paths, lambda path: read_npy(_bytes(path)))
    named: Mapping[str, NDArray[np.generic]] = {path.stem: array for path, array in read.items()}
    try:
        collection = collect(named)
    except Bad as error:
        raise Refused(
            f"task.source '{data.path}': its .npy files do not fit together",
            [f"  {problem}" for problem in error.problems],
        ) from error
    return _named(collection)


def _in_part(collection: Collection, part: str) -> Collection:
    if not part:
        return collection
    series = [replace(item, part=item.part or part) for item in collection.series]
    return replace(collection, series=series)


def _together(data: UserData, found: Mapping[Path, Collection]) -> Collection:
    """Return the sequences of several files, which must have the same columns.

    Raises:
        Refused: they have not.
    """
    first_path, first = next(iter(found.items()))
    good: dict[Path, Collection] = {}
    bad = {}
    for path, collection in found.items():
        problem = _difference(first, collection, data.name(first_path))
        if problem:
            bad[data.name(path)] = [problem]
        else:
            good[path] = collection.ordered_as(first.columns)
    data.drop(bad, len(found), "files")
    notes = {note for collection in good.values() for note in collection.unused}
    data.left_out += [LeftOut(name, reason) for name, reason in sorted(notes)]
    many = len(good) > 1
    series: list[ReadSequence] = []
    for path, collection in good.items():
        below = data.name(path)
        alone = many and len(collection.series) == 1 and collection.series[0].name == path.stem
        for item in collection.series:
            name = below if alone else f"{below}, {item.name}" if many else item.name
            labels = item.labels
            if alone and not labels and "/" in below:
                labels = (Path(below).parts[-2],)  # word/file.csv
            series.append(replace(item, name=name, labels=labels))
    if not many or all(not collection.are_named for collection in good.values()):
        classes = first.classes
    else:
        classes = ()
    declared = {kept for collection in good.values() for kept in collection.classes}
    if declared - set(classes):
        classes = (*classes, *sorted(declared - set(classes)))
    return _named(replace(first, series=series, classes=classes, unused=()))


def _difference(first: Collection, other: Collection, name: str) -> str:
    lacking = [column for column in first.columns if column not in other.columns]
    further = [column for column in other.columns if column not in first.columns]
    if not lacking and not further:
        return ""
    if not first.are_named:
        return f"it has {len(other.columns)} columns; {name} has {len(first.columns)}"
    parts = [f"lacks {listed(lacking, 100)}"] if lacking else []
    parts += [f"has {listed(further, 80)} more"] if further else []
    return f"it {' and '.join(parts)} (columns of {name})"


def _named(collection: Collection) -> Collection:
    """Return the same with names that differ: a sequence's name decides its place in a split."""
    return replace(collection, series=list(_numbered(collection.series)))


def _numbered(series: Iterable[ReadSequence]) -> Iterable[ReadSequence]:
    seen: dict[str, int] = {}
    for item in series:
        count = seen[item.name] = seen.get(item.name, 0) + 1
        yield item if count == 1 else replace(item, name=f"{item.name} ({count})")
