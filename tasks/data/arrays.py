"""NumPy's files: one ``.npz``, or ``.npy`` files in a folder, with arrays of known names.

* ``X``: ``[N, T, F]``, or ``[N, T]`` of one column; numbers, NaN where one is missing.
* ``y``: ``[N]``, a label of each sequence; or ``[N, T]``, of each step (empty text, NaN: none).
* ``lengths``: ``[N]``, the steps of each sequence, what follows is padding. Without it, steps at
  the end that are NaN in all columns are padding.
* ``groups``: ``[N]``, what a split keeps together, for example the subject.
* ``columns``: ``[F]``, names.

A given split has ``X_train``, ``y_train``, ``X_test``, ``y_test`` and so on; ``valid`` may be
there too. Arrays of Python objects are refused: reading them would run code.
"""

from __future__ import annotations

import ast
import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad
from seqbench.errors import did_you_mean, listed
from seqbench.tasks.data.collection import (
    MOST_BYTES,
    Collection,
    Floats,
    ReadSequence,
    check_array,
)

NAMES = ("X", "y", "lengths", "groups", "columns")
_OTHER_NAMES = {"x": "X", "Y": "y", "labels": "y", "label": "y", "target": "y", "targets": "y"}
_OTHER_NAMES |= {"data": "X", "values": "X", "group": "groups", "features": "columns"}
_PARTS = {"train": "train", "test": "test", "valid": "valid", "validation": "valid", "val": "valid"}
_NAME = re.compile(r"(.+?)(?:_(train|test|valid|validation|val))?", re.IGNORECASE)
_COLUMNS = 100_000

Arrays = Mapping[str, NDArray[Any]]


def read_npz(data: bytes) -> Collection:
    """Return the sequences of an ``.npz`` file.

    Raises:
        Bad: it cannot be read, or its arrays are not as the module says.
    """
    arrays = {}
    if not data.startswith(b"PK\x03\x04"):  # zipfile would look for a beginning further on
        raise Bad("it is no .npz file, or damaged: it does not begin as one")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            size = sum(item.file_size for item in file.infolist())
            if size > MOST_BYTES:
                raise Bad(f"its arrays have {size:,} bytes; {MOST_BYTES:,} are the most")
            for item in file.infolist():
                name = item.filename.removesuffix(".npy")
                arrays[name] = read_npy(file.read(item), f"array {name}: ")
    except Bad:
        raise
    except Exception as error:  # zipfile, zlib, lzma and struct each have errors of their own
        raise Bad(f"it is no .npz file, or damaged: {_one_line(error)}") from error
    return collect(arrays)


def read_npy(data: bytes, where: str = "") -> NDArray[Any]:
    """Return the array of an ``.npy`` file; its size must be what its header says.

    Raises:
        Bad: it cannot be read, or holds Python objects.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"it has the version {version}")
        size = 2 if version == (1, 0) else 4
        length = int.from_bytes(stream.read(size), "little")
        header = ast.literal_eval(stream.read(length).decode("latin-1" if size == 2 else "utf-8"))
        shape, order = header["shape"], header["fortran_order"]
        dtype = np.dtype(header["descr"])
        if not all(type(side) is int and side >= 0 for side in shape) or type(order) is not bool:
            raise ValueError(f"its shape is {shape!r}"[:100])
    except Exception as error:  # of a header that was changed: nearly any
        raise Bad(f"{where}it is no .npy file, or damaged: {_one_line(error)}") from error
    if dtype.hasobject:
        raise Bad(f"{where}it holds Python objects; save numbers or text: X.astype(float)")
    if dtype.kind not in "biufUS" or dtype.itemsize == 0:
        raise Bad(f"{where}its type is {dtype}; numbers and text are what is read")
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if needed != there:
        raise Bad(f"{where}it says {needed:,} bytes and has {there:,}: it was cut short or changed")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if order else "C")


def collect(arrays: Arrays) -> Collection:
    """Return sequences from arrays by name.

    Raises:
        Bad: they do not fit together.
    """
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    problems = []
    for name, array in arrays.items():
        found = _NAME.fullmatch(name)
        stem, part = (found[1], _PARTS[(found[2] or "train").lower()]) if found else (name, "")
        stem = _OTHER_NAMES.get(stem, stem)
        if stem not in NAMES:
            hint = did_you_mean(stem, NAMES)
            problems.append(f"array {name} is none of {', '.join(NAMES)}{hint}")
            continue
        place = parts.setdefault(part if found and found[2] else "", {})
        if stem in place:
            problems.append(f"array {name} is a second {stem}")
        place[stem] = array
    shared = parts.get("", {}).keys()
    if len(parts) > 1 and shared - {"columns"}:
        problems.append(f"{listed(sorted(shared))} beside arrays of {listed(sorted(parts)[1:])}")
    if problems:
        raise Bad(*problems)
    columns = parts.get("", {}).pop("columns", None) if len(parts) > 1 else None
    parts = {part: of_part for part, of_part in parts.items() if of_part}
    if not parts:
        raise Bad("it has no array X")
    collections = []
    for part, of_part in parts.items():
        named = of_part if columns is None else {"columns": columns} | of_part
        collections.append(_of_part(named, part))
    first = collections[0]
    for other in collections[1:]:
        if other.columns != first.columns:
            raise Bad(
                f"X_{other.series[0].part} has other columns than X_{first.series[0].part}:"
                f" {listed(other.columns)}"
            )
    series = [item for one in collections for item in one.series]
    return Collection(first.columns, series, are_named=first.are_named)


def _of_part(arrays: dict[str, NDArray[Any]], part: str) -> Collection:
    suffix = f"_{part}" if part else ""
    if "X" not in arrays:
        raise Bad(f"it has no array X{suffix}; there are {listed(sorted(arrays))}")
    values = _values(arrays["X"], f"X{suffix}")
    count, steps, width = values.shape
    lengths = _lengths(arrays.get("lengths"), values, suffix)
    labels = arrays.get("y")
    if labels is not None and labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[:, :, 0]
    if labels is not None and labels.shape == (count, 1) and steps != 1:
        labels = labels[:, 0]
    if labels is not None and labels.shape not in ((count,), (count, steps)):
        raise Bad(
            f"y{suffix} is {list(labels.shape)}; beside X{suffix} {list(arrays['X'].shape)} it is"
            f" [{count}] or [{count}, {steps}]"
        )
    groups = arrays.get("groups")
    if groups is not None and groups.shape != (count,):
        raise Bad(f"groups{suffix} is {list(groups.shape)}, and there are {count} sequences")
    names = arrays.get("columns")
    if names is not None and (names.shape != (width,) or len({*_texts(names)}) < width):
        raise Bad(f"columns must be {width} different names")
    columns = _texts(names) if names is not None else [f"column {n + 1}" for n in range(width)]
    series = []
    group_texts = [""] * count if groups is None else _texts(groups)
    for row in range(count):
        length = int(lengths[row])
        found: tuple[str, ...] = ()
        if labels is not None:
            found = tuple(_texts(labels[row : row + 1].reshape(-1)))[
                : length if labels.ndim > 1 else 1
            ]
        name = f"X{suffix}[{row}]"
        series.append(ReadSequence(name, values[row, :length], found, None, group_texts[row], part))
    return Collection(tuple(columns), series, are_named=names is not None)


def _values(array: NDArray[Any], name: str) -> Floats:
    if array.dtype.kind not in "biuf":
        raise Bad(f"{name} is of type {array.dtype}; it must hold numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise Bad(
            f"{name} is {list(array.shape)}; it must be [sequences, steps, columns], or"
            " [sequences, steps] of one column"
        )
    if array.ndim == 3 and array.shape[2] > _COLUMNS:
        raise Bad(f"{name} has {array.shape[2]:,} columns; {_COLUMNS:,} are the most")
    values = array.astype(np.float64)
    check_array(values)
    return values if values.ndim == 3 else values[:, :, None]


def _lengths(given: NDArray[Any] | None, values: Floats, suffix: str) -> NDArray[np.int64]:
    count, steps = values.shape[:2]
    if given is None:
        known: NDArray[np.bool_] = np.logical_not(np.isnan(values).all(axis=2))
        if not known.any(axis=1).all():
            raise Bad(f"X{suffix}[{int(np.argmin(known.any(axis=1)))}] is missing throughout")
        found: NDArray[np.int64] = steps - np.argmax(known[:, ::-1], axis=1)
        return found
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise Bad(f"lengths{suffix} must be {count} whole numbers")
    wrong = np.flatnonzero((given < 1) | (given > steps))
    if len(wrong):
        raise Bad(f"lengths{suffix}[{wrong[0]}] is {given[wrong[0]]}; it must be 1 to {steps}")
    return given.astype(np.int64)


def _texts(array: NDArray[Any]) -> list[str]:
    """Return labels as text: whole numbers without a point, NaN as unknown."""
    if array.dtype.kind == "f":
        numbers = array.astype(np.float64).tolist()
        return [_text(number) for number in numbers]
    if array.dtype.kind == "S":
        return [text.decode("latin-1").strip() for text in array.tolist()]
    return [str(item).strip() for item in array.tolist()]


def _text(number: float) -> str:
    if math.isnan(number):
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:120]
