"""What data are called: names that a model was trained with, compared with those of other data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from seqbench.config.command import quoted
from seqbench.config.overrides import override_text
from seqbench.errors import Refused, did_you_mean
from seqbench.records import DataNames, TrialRecord, some

UNKNOWN = "columns unknown: compared by number"
"""Said of a model whose run kept no names."""

_PARTS = {"inputs": "inputs", "static": "static inputs", "outputs": "outputs"}
_SHOWN = 5  # names in a message
_LONGEST = 40  # characters of a name in a message


def checked(found: Any, fold: int) -> DataNames:
    """Return a task's names of a fold; a list of names becomes a tuple.

    Raises:
        TypeError: they are no names.
    """
    if not isinstance(found, DataNames):
        raise TypeError(f"names({fold}) is {found!r:.60}, and no DataNames")
    name, *parts = astuple(found)
    if not isinstance(name, str) or not all(isinstance(part, list | tuple) for part in parts):
        raise TypeError(f"names({fold}) is {found!r:.100}, and not made of names")
    if not all(isinstance(item, str) for part in parts for item in part):
        raise TypeError(f"names({fold}) is {found!r:.100}, in which not all names are texts")
    return DataNames(name, *map(tuple, parts))


def check_folds(names: Mapping[int, DataNames]) -> None:
    """Refuse folds that cannot be told apart by their names.

    Raises:
        ValueError: two have one name.
    """
    counts = Counter(item.fold for item in names.values() if item.fold)
    for name, number in counts.items():
        if number > 1:
            raise ValueError(f"{number} folds have the name '{name}'")


def find_fold(record: TrialRecord, wanted: int | str) -> int | None:
    """Return the number of a run's fold, which is given by its number or its name; None for none.

    Args:
        record: of the run.
        wanted: a name is looked for first: it may be a number's text.
    """
    by_name = {record.names[fold].fold: fold for fold in record.folds if fold in record.names}
    if isinstance(wanted, str) and wanted in by_name and wanted:
        return by_name[wanted]
    text = str(wanted).strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST else None
    return number if number in record.folds else None


def match_folds(run: str, record: TrialRecord, found: Mapping[int, DataNames]) -> dict[int, int]:
    """Return which of a run's folds each fold of other data is: of its name, or of its number.

    Args:
        run: what a person calls the run.
        record: of the run.
        found: names of the other data, by the number of the fold there.

    Raises:
        Refused: the run has no model for a fold.
    """
    kept = [record.names.get(fold, DataNames()).fold for fold in record.folds]
    by_name = {name: fold for name, fold in zip(kept, record.folds, strict=True) if name}
    matched, unknown = {}, []
    for fold, names in found.items():
        if names.fold and by_name:
            if names.fold in by_name:
                matched[fold] = by_name[names.fold]
            else:
                unknown.append(names.fold)
        elif fold in record.folds:
            matched[fold] = fold
        else:
            unknown.append(str(fold))
    if unknown:
        known = [record.fold_name(fold) for fold in record.folds]
        hint = did_you_mean(unknown[0], known) if len(unknown) == 1 else ""
        folds = "folds" if unknown[1:] else "fold"
        raise Refused(
            f"{run} has no model for {folds} {_listed(unknown)}{hint}; it has: {_listed(known)}"
        )
    return matched


def compare(
    run: str,
    record: TrialRecord,
    found: Mapping[int, DataNames],
    matched: Mapping[int, int],
    dropped: Sequence[str] | None = None,
) -> None:
    """Refuse data whose columns or classes are not those that a run's models know.

    Args:
        run: what a person calls the run.
        record: of the run.
        found: names of the data, by the number of the fold there.
        matched: see :func:`match_folds`.
        dropped: columns that the task leaves out already, by its parameter ``drop``; None if it
            has none.

    Raises:
        Refused: names are missing or new, or stand in another order.
    """
    problems = {
        fold: "; ".join(differences(record.names[kept], found[fold]))
        for fold, kept in matched.items()
        if kept in record.names
    }
    bad = {fold: text for fold, text in problems.items() if text}
    if not bad:
        return
    advice = "" if dropped is None else _without(record, found, matched, dropped)
    different = set(bad.values())
    if len(different) == 1 and len(bad) == len(matched):
        raise Refused(
            f"{run} was trained on other names than these data have: {different.pop()}{advice}"
        )
    lines = [f"  {found[fold].fold or fold}: {text}" for fold, text in bad.items()]
    raise Refused(
        f"{run} was trained on other names than {len(bad)} of {len(matched)} folds of these data"
        f" have{advice}",
        some(lines, _SHOWN * _SHOWN, "  ... and {} more"),
    )


def _without(
    record: TrialRecord,
    found: Mapping[int, DataNames],
    matched: Mapping[int, int],
    dropped: Sequence[str],
) -> str:
    """Return how to leave out the columns that are new, if the names agree without them."""
    new: dict[str, None] = {}
    for fold, kept in matched.items():
        if kept in record.names:
            then, now = record.names[kept], found[fold]
            known = tuple(name for name in now.inputs if name in then.inputs)
            twice = len(set(now.inputs)) < len(now.inputs)
            # Where no name agrees nothing would be left to compare, nor to read.
            nothing = bool(then.inputs) and not known
            if twice or nothing or differences(then, replace(now, inputs=known)):
                return ""
            new |= dict.fromkeys(name for name in now.inputs if name not in then.inputs)
    word = quoted(f"task.drop={override_text([*dropped, *new])}")
    return f"; {word} goes on without {'it' if len(new) == 1 else 'them'}" if new else ""


def differences(kept: DataNames, found: DataNames) -> list[str]:
    """Return how names differ from those that a model knows, in words; empty where they do not.

    A part that was not named then is not compared, nor is any where the data have no names now.
    """
    if not any((found.inputs, found.static, found.outputs)):
        return []
    said = []
    for part, what in _PARTS.items():
        then, now = getattr(kept, part), getattr(found, part)
        if then and then != now:
            said.append(_difference(what, then, now))
    return said


def _difference(what: str, then: Sequence[str], now: Sequence[str]) -> str:
    missing = list((Counter(then) - Counter(now)).elements())
    new = list((Counter(now) - Counter(then)).elements())
    if not missing and not new:
        place = next(number for number, pair in enumerate(zip(then, now, strict=True))
                     if pair[0] != pair[1])  # fmt: skip
        return (
            f"{what} in another order: {_short(now[place])} stands where its model has"
            f" {_short(then[place])}"
        )
    parts = [f"{what} missing: {_listed(missing)}"] if missing else []
    if new:
        hint = did_you_mean(new[0], missing) if len(new) == 1 else ""
        parts.append(f"{'new' if missing else f'{what} new'}: {_listed(new)}{hint}")
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(some([_short(name) for name in names], _SHOWN, "... and {} more"))


def _short(name: str) -> str:
    """Return a name so that it can stand in a line."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def arranged(
    what: str, value: Any, names: Sequence[str], size: int, *, is_row: bool = False
) -> Any:
    """Return a table's numbers in the order of the columns that a model knows.

    Args:
        what: the argument, for a message.
        value: a DataFrame ``[T, F]``, or a list of them; anything else is returned as it is.
        names: of the columns; empty where the run kept none, and columns are taken in their order.
        size: F.
        is_row: whether a Series ``[F]`` is a table's row, whose names its index has.

    Raises:
        Refused: a column is missing, or new, or there twice, or features are made of the columns.
    """
    if isinstance(value, list | tuple) and any(hasattr(item, "to_numpy") for item in value):
        rows = [arranged(what, item, names, size, is_row=is_row) for item in value]
        if len({np.shape(row) for row in rows}) > 1:
            raise Refused(f"{what}: tables of one batch must have as many rows; pad them")
        return np.stack(rows)
    columns = getattr(value, "columns", None)
    if columns is None and is_row:
        columns = getattr(value, "index", None)
    if columns is None or not hasattr(value, "to_numpy"):
        return value
    if not names:
        return value.to_numpy()
    if len(names) != size:
        raise Refused(
            f"{what} has columns, but the {size} features of a step are made of the columns"
            f" {_listed(names)}: give an array of features"
        )
    said = [str(column) for column in columns]
    if Counter(said) != Counter(names):
        raise Refused(f"{what}: {_difference('columns', names, said)}")
    return value.to_numpy()[..., [said.index(name) for name in names]]
