"""Addresses made of paths, and paths made of addresses: the only place that does either."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit


def uri_of(path: Path, scheme: str = "file") -> str:
    """Return the address of a file or folder, in which ``#``, ``?``, ``%`` and the like are safe.

    Args:
        path: absolute; with ``sqlite`` it may be relative.
        scheme: ``file``, or ``sqlite`` for the form that SQLAlchemy 2.1 and MLflow take.
    """
    slashes = "///" if scheme == "sqlite" else "//"
    return f"{scheme}:{slashes}{quote(os.fsencode(path))}"


def path_of(uri: str) -> Path | None:
    """Return the path of an address that :func:`uri_of` made, or MLflow; None if it names none.

    What has no scheme is a path, as it is written: MLflow keeps the places of a run's files so.
    """
    parts = urlsplit(uri)
    if not parts.scheme:
        return Path(uri)
    if parts.scheme not in ("file", "sqlite"):
        return None
    written = parts.path.removeprefix("/") if parts.scheme == "sqlite" else parts.path
    return Path(os.fsdecode(unquote_to_bytes(written)))
