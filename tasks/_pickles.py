"""Pickled pandas data frames read without pandas, and without running what a pickle may hold.

A pickle names functions that are called while it is read. Here each name is looked up in one table
of harmless stand-ins, and any other name is refused; so the columns come out as numpy arrays
whatever version of pandas is installed, or none.
"""

from __future__ import annotations

import io
import lzma
import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]


def read_frame(data: bytes) -> Columns:
    """Return the columns of an xz-compressed pickle of a pandas ``DataFrame``.

    The file must be trusted or checked beforehand: a stand-in cannot be made to run code, but a
    pickle made to do harm could still exhaust the memory.

    Args:
        data: the file, as pandas 1.5 to 2 writes it with ``compression="xz"``.

    Returns:
        Each column ``[rows]`` by name, in the frame's order; a column of strings alone has a string
        type, other columns the type they were saved with.

    Raises:
        ValueError: this is not such a file, or it names something that is not in the table.
    """
    try:
        frame = _Unpickler(io.BytesIO(lzma.decompress(data))).load()
        blocks: list[_Block] = frame.state["_mgr"].blocks
        names = list(frame.state["_mgr"].axes[0]["data"])
    except (lzma.LZMAError, pickle.UnpicklingError, EOFError, AttributeError, LookupError) as error:
        raise ValueError(f"this is no xz-compressed pickle of a data frame ({error})") from error
    columns: Columns = {}
    for block in blocks:
        numbers = np.arange(len(names))[block.placement]
        for number, values in zip(numbers, block.values, strict=True):
            columns[names[number]] = _typed(values)
    return {name: columns[name] for name in names}


class _Frame:
    """In place of ``pandas.DataFrame``: keeps its state, where ``_mgr`` holds the columns."""

    state: Mapping[str, Any]

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.state = state


class _Block:
    """In place of pandas's block: some columns of one type."""

    def __init__(self, values: NDArray[Any], placement: slice | NDArray[Any], ndim: int) -> None:
        self.values = values  # [columns of the block, rows]
        self.placement = placement  # where they stand in the frame


class _Blocks:
    """In place of ``BlockManager``: all columns, and the axes' labels."""

    def __init__(self, blocks: list[_Block], axes: list[Mapping[str, Any]]) -> None:
        self.blocks = blocks
        self.axes = axes


def _labels(kind: str, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stand in for ``_new_Index``: an axis as the mapping that pandas would build it from."""
    return state


def _array(buffer: bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _empty_array(kind: type[NDArray[Any]], shape: tuple[int, ...], dtype: bytes) -> Any:
    return np.empty(shape, dtype.decode())  # it is filled by what follows in the pickle


class _Unpickler(pickle.Unpickler):
    """Knows the names that a pickled data frame needs, and refuses every other."""

    known: ClassVar[Mapping[tuple[str, str], Any]] = {
        ("builtins", "slice"): slice,
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy.core.numeric", "_frombuffer"): _array,
        ("pandas._libs.internals", "_unpickle_block"): _Block,
        ("pandas.core.frame", "DataFrame"): _Frame,
        ("pandas.core.indexes.base", "Index"): "Index",
        ("pandas.core.indexes.base", "_new_Index"): _labels,
        ("pandas.core.indexes.range", "RangeIndex"): "RangeIndex",
        ("pandas.core.internals.managers", "BlockManager"): _Blocks,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name of a pickle.

        Raises:
            pickle.UnpicklingError: there is none.
        """
        try:
            return self.known[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def _typed(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == object and all(isinstance(value, str) for value in values):
        return values.astype(str)
    return values
