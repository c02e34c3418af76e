"""Cell arrays of matrices from Matlab files of version 5 to 7.

A reader of its own, because scipy's, on some files with a few changed bytes, ends the process.
Format: MathWorks, MAT-File Format, the chapter on level 5 files.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad

_HEADER = 128
_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_LIST = 1
_NUMERIC = range(6, 16)
_COMPLEX = 0x0800


class _Element(NamedTuple):
    kind: int
    content: memoryview
    rest: memoryview
    """What follows it."""


class _Matrix(NamedTuple):
    name: str
    category: int
    is_complex: bool
    shape: tuple[int, ...]
    content: memoryview
    """Of a cell array the elements, of others the numbers."""


def read_lists(content: bytes, names: Collection[str], most: int) -> dict[str, list[Any]]:
    """Return what the cells of some variables hold: matrices as saved, others as their class.

    Args:
        content: of the file.
        names: of the variables that are read; those that are not there are left out.
        most: bytes that the file may unpack to.

    Raises:
        Bad: the file is damaged, too large, or of another version.
    """
    if content[:19] == b"MATLAB 7.3 MAT-file":
        raise Bad("it is an HDF5 file of Matlab 7.3; save it with the option -v7")
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:_HEADER])
    if order is None or 0 in content[:4]:  # files of version 4 begin with a zero
        raise Bad("it is no Matlab file of version 5 to 7; save it with the option -v7")
    found: dict[str, list[Any]] = {}
    for part in _parts(memoryview(content), order, most):
        matrix = _matrix(part, order)
        if matrix.name not in names:
            continue
        if matrix.name in found:
            raise Bad(f"it has {matrix.name} twice")
        if matrix.category != _LIST:
            raise Bad(f"{matrix.name} is no cell array")
        found[matrix.name] = _items(matrix, order)
    return found


def _parts(content: memoryview, order: str, most: int) -> Iterator[memoryview]:
    """Yield the content of each variable, unpacked."""
    left, at = most, _HEADER
    while at < len(content):
        if at + 8 > len(content):
            raise Bad(f"byte {at:,}: it ends inside a tag; it is damaged: save or copy it anew")
        kind, size = struct.unpack_from(f"{order}II", content, at)
        part = content[at + 8 : at + 8 + size]
        if len(part) < size:
            raise Bad(
                f"byte {at:,}: a variable declares {size:,} bytes and holds {len(part):,};"
                " it is damaged: save or copy it anew"
            )
        at += 8 + size
        if kind == _COMPRESSED:
            unpacking = zlib.decompressobj()
            try:
                part = memoryview(unpacking.decompress(part, left + 1))
            except zlib.error:
                raise Bad(f"byte {at - size:,}: a compressed variable is damaged") from None
            left -= len(part)
            if left < 0:
                raise Bad(f"it unpacks to more than {most // 2**20} MiB; split it")
            if not unpacking.eof:
                raise Bad(f"byte {at - size:,}: a compressed variable is cut off")
            kind, part, _ = _element(part, order)
        if kind != _MATRIX:
            raise Bad(f"byte {at - size - 8:,}: no variable begins here; it is damaged")
        yield part


def _items(array: _Matrix, order: str) -> list[Any]:
    count = math.prod(array.shape)
    if count * 8 > len(array.content):  # a tag has 8 bytes
        raise Bad(f"{array.name} declares {count:,} cells, more than its bytes can hold")
    found: list[Any] = []
    rest = array.content
    for number in range(count):
        kind, content, rest = _element(rest, order)
        if kind != _MATRIX:
            raise Bad(f"{array.name}: cell {number} is no matrix; the file is damaged")
        found.append(_values(_matrix(content, order), f"{array.name}: cell {number}", order))
    # Matlab counts the first index fastest, and what is returned the last
    places = np.arange(count).reshape(array.shape, order="F").ravel()
    return [found[place] for place in places.tolist()]


def _values(matrix: _Matrix, where: str, order: str) -> NDArray[Any] | str:
    """Return the numbers of a matrix as they were saved, or what it is instead."""
    if matrix.category not in _NUMERIC or matrix.is_complex:
        return "complex" if matrix.is_complex else f"class {matrix.category}"
    kind, content, _ = _element(matrix.content, order)
    if kind not in _TYPES:
        raise Bad(f"{where} holds numbers of an unknown type, {kind}; the file is damaged")
    dtype = np.dtype(order + _TYPES[kind])
    if math.prod(matrix.shape) * dtype.itemsize != len(content):
        raise Bad(
            f"{where} declares the shape {list(matrix.shape)[:4]} of {dtype} and holds"
            f" {len(content):,} bytes; the file is damaged"
        )
    return np.frombuffer(content, dtype).reshape(matrix.shape, order="F")


def _matrix(content: memoryview, order: str) -> _Matrix:
    if not content:  # Matlab's []
        return _Matrix("", _NUMERIC[0], False, (0, 0), memoryview(struct.pack(f"{order}II", 9, 0)))
    kind, flags, rest = _element(content, order)
    if kind != _UINT32 or len(flags) != 8:
        raise Bad("a matrix has no class; the file is damaged")
    (first,) = struct.unpack_from(f"{order}I", flags)
    kind, sizes, rest = _element(rest, order)
    if kind != _INT32 or len(sizes) < 8 or len(sizes) % 4:
        raise Bad("a matrix has no size; the file is damaged")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape) < 0:
        raise Bad(f"a matrix declares the shape {list(shape)[:4]}; the file is damaged")
    kind, name, rest = _element(rest, order)
    if kind != _INT8:
        raise Bad("a matrix has no name; the file is damaged")
    text = bytes(name).decode("latin1")
    return _Matrix(text, first & 0xFF, bool(first & _COMPLEX), shape, rest)


def _element(content: memoryview, order: str) -> _Element:
    """Return the first element of some bytes."""
    if len(content) < 8:
        raise Bad("an element ends inside its tag; the file is damaged")
    kind, size = struct.unpack_from(f"{order}II", content)
    start, end = 8, 8 + size
    after = end + -size % 8
    if kind >> 16:  # a small one: both in four bytes, and the content in the other four
        kind, size = kind & 0xFFFF, kind >> 16
        start, end, after = 4, 4 + size, 8
    if end > min(after, len(content)):
        held = min(after, len(content)) - start
        raise Bad(f"an element declares {size:,} bytes and holds {held:,}; the file is damaged")
    return _Element(kind, content[start:end], content[after:])
