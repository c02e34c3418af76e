"""Pickles of containers, numbers and numpy arrays, from hands that nobody knows.

A pickle is a program: it names functions and calls them. Here the only names are a few stand-ins,
and an array is made of its parts once all of them are known to fit. So no code of the pickle runs,
and no size that it declares is believed.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

_DEPTH = 3  # splits, pieces, frames
_TYPES = re.compile("[biuf](1|2|4|8)|O8")  # as numpy writes them


def load_pickle(content: bytes) -> Any:
    """Return what a pickle holds: arrays at most three containers deep, those of objects as lists.

    Raises:
        Exception: of any kind; the pickle is damaged, or names what is no data.
    """
    loaded = _DataUnpickler(content).load()
    return _plain(loaded, _DEPTH, {})


class _Type:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, code: str, *flags: object) -> None:
        if not _TYPES.fullmatch(code) or flags not in ((), (False, True)):
            raise pickle.UnpicklingError(f"it holds an array of {code[:20]!r}, not of numbers")
        self._code = code
        self._order = "="

    def set_state(self, state: tuple[Any, ...]) -> None:
        version, order, *rest = state
        numbers = (None, None, None, -1, -1)  # no parts with names, and a size that the code says
        if version != 3 or order not in ("<", ">", "|", "=") or tuple(rest[:5]) != numbers:
            raise pickle.UnpicklingError("it holds an array of records, not of numbers")
        self._order = order

    def real(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code)


class _Array:
    """Stands in for ``numpy.ndarray``: keeps its parts."""

    def __init__(self) -> None:
        self._parts: tuple[Any, ...] | None = None

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take what an array's ``__setstate__`` does: version, shape, dtype, order, content."""
        _, shape, kind, is_fortran, content = state
        self._parts = (content, kind, shape, "F" if is_fortran else "C")

    def real(self) -> Any:
        """Return the array, or a list of what an array of objects holds."""
        if self._parts is None:
            raise pickle.UnpicklingError("it holds half an array")
        content, kind, shape, order = self._parts
        dtype = kind.real()
        size = math.prod(shape)
        if dtype.kind == "O":
            if len(shape) != 1 or not isinstance(content, list) or len(content) != size:
                raise pickle.UnpicklingError("it holds an array of objects that is no list")
            return content
        if isinstance(content, str):  # Python 2 wrote bytes so
            content = content.encode("latin1")
        if min(shape, default=0) < 0 or size * dtype.itemsize != len(content):
            raise pickle.UnpicklingError(
                f"an array declares the shape {list(shape)} of {dtype} and holds"
                f" {len(content):,} bytes"
            )
        return np.frombuffer(content, dtype).reshape(shape, order=order)


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _Array or shape != (0,) or code not in (b"b", "b"):
        raise pickle.UnpicklingError("it holds an array that numpy has not written")
    return _Array()


def _from_buffer(content: Any, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    if order not in ("C", "F"):
        raise pickle.UnpicklingError("it holds an array in an unknown order")
    array = _Array()
    array.set_state((1, shape, kind, order == "F", content))
    return array


def _scalar(kind: _Type, content: Any) -> Any:
    array = _from_buffer(content, kind, (1,), "C").real()
    return array[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # what numpy's arrays need
        raise pickle.UnpicklingError(f"it holds bytes in {encoding!r:.20}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Return what older protocols write for an array of nothing."""
    return b""


_PARTS = ("multiarray", "numeric")
_NUMPY: Mapping[str, Any] = {
    "ndarray": _Array,
    "dtype": _Type,
    "_reconstruct": _reconstruct,
    "_frombuffer": _from_buffer,
    "scalar": _scalar,
}
"""What numpy's arrays and numbers need."""
_MODULES = ("numpy", *(f"numpy.{core}.{part}" for core in ("core", "_core") for part in _PARTS))
"""Where versions of numpy have had it."""
_BUILT_IN: Mapping[str, Any] = {"set": set, "frozenset": frozenset, "bytes": _no_bytes}


_InPython: Any = pickle._Unpickler  # typeshed hides what it is made of


class _DataUnpickler(_InPython):  # type: ignore[misc]
    """Python's own unpickler in Python: the one in C asks for memory by numbers in the pickle."""

    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self._size = len(content)
        super().__init__(self._file, encoding="latin1")  # Python 2 wrote the papers' files

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in.

        Raises:
            pickle.UnpicklingError: the name is not one of data.
        """
        found = None
        if module in _MODULES:
            found = _NUMPY.get(name)
        elif module == "builtins" or (module == "__builtin__" and self.proto < 3):
            found = _BUILT_IN.get(name)
        elif (module, name) == ("_codecs", "encode"):
            found = _encode
        if found is None:
            named = f"{module}.{name}"[:60]
            raise pickle.UnpicklingError(
                f"it names {named}; only containers, numbers and numpy arrays are allowed"
            )
        return found

    def load_build(self) -> None:
        """Give a stand-in its state; nothing else has one."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, _Type | _Array):
            self.refuse()
        target.set_state(state)

    def load_frame(self) -> None:
        """Refuse a frame that was cut off, as the unpickler in C does."""
        (size,) = struct.unpack("<Q", self.read(8))
        if size > self._size - self._file.tell():
            raise pickle.UnpicklingError("it was cut off")
        self._unframer.load_frame(size)

    def load_bytearray8(self) -> None:
        """Read as many bytes as there are, where Python first asks for as many as are declared."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    def refuse(self) -> NoReturn:
        """Refuse an operation that no data need."""
        raise pickle.UnpicklingError("it makes objects other than containers, numbers and arrays")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    for _operation in (pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.OBJ, pickle.INST):
        dispatch[_operation[0]] = refuse


def _plain(value: Any, depth: int, known: dict[int, Any]) -> Any:
    """Return containers with real arrays in place of their stand-ins.

    Args:
        value: of a pickle.
        depth: of the containers in which arrays may lie.
        known: what was made of a container, by its identity, as a pickle may hold it many times.
    """
    if id(value) in known:
        return known[id(value)]
    made = value.real() if isinstance(value, _Array) else value
    if depth and isinstance(made, dict):
        made = {name: _plain(held, depth - 1, known) for name, held in made.items()}
    elif depth and isinstance(made, list | tuple):
        made = [_plain(held, depth - 1, known) for held in made]
    known[id(value)] = made
    return made
