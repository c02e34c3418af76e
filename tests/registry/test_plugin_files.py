"""``+plugin=FILE``: read as Python reads it; where its name is at fault, the right one is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.registry.codehash import code_hash
from seqbench.registry.plugins import add_plugin_file, plugin_files, readable, registry

TEXT = """
from seqbench.api import Model


class MyCell(Model):
    \"\"\"A cell, schön.\"\"\"

    def __init__(self, input_size, context, *, width: int = 3) -> None:
        super().__init__(input_size, context)

    def encode(self, inputs):
        return None
"""


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        b"# -*- coding: latin-1 -*-\n" + TEXT.encode("latin-1"),
        b"\xef\xbb\xbf# coding: utf-8\r\n" + TEXT.replace("\n", "\r\n").encode(),
        b"#!/usr/bin/env python\n# vim: set fileencoding=cp1252 :\n" + TEXT.encode("cp1252"),
    ],
)
def test_a_file_is_read_as_python_reads_it(content: bytes, tmp_path: Path) -> None:
    """With a byte order mark, or in the encoding that it names; its code is the same."""
    (tmp_path / "plain").mkdir()
    path, plain = tmp_path / "my_cell.py", tmp_path / "plain" / "my_cell.py"
    path.write_bytes(content)
    plain.write_text(TEXT, encoding="utf-8")
    add_plugin_file(str(path))
    item = registry().get("model", "my_cell")
    assert "MyCell" == item.load().__name__
    assert code_hash(f"{plain}:MyCell") == item.code_hash


@pytest.mark.parametrize(
    ("stem", "right"),
    [
        ("my-cell", "my_cell"),
        ("my cell", "my_cell"),
        ("my.cell", "my_cell"),
        ("My-Cell", "my_cell"),
        ("2cells", "my_cell"),
        ("class", "my_cell"),
        ("my_cell (copy)", "my_cell"),
        ("cell-v2", "my_cell"),
    ],
)
def test_a_name_that_cannot_be_one(stem: str, right: str, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.py"
    path.write_text(TEXT, encoding="utf-8")
    add_plugin_file(str(path))
    expected = f"'{stem}' cannot name a model or task; rename the file, for example {right}.py"
    for known in (registry, readable):
        with pytest.raises(Refused, match=re.escape(expected)) as refusal:
            known()
        assert "\n" not in str(refusal.value)
    shutil.move(path, tmp_path / f"{right}.py")
    plugin_files()
    registry.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQBENCH_PLUGIN_FILES", str(tmp_path / f"{right}.py"))
        assert right in registry().names("model")


def test_a_name_that_no_class_has(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text(TEXT, encoding="utf-8")
    add_plugin_file(str(path))
    with pytest.raises(Refused, match=r"no class named like the file; rename it my_cell\.py, af"):
        registry()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("my_cel.py", "there is no such Python file (did you mean 'my_cell.py'?)"),
        ("gone.py", "there is no such Python file"),
        ("~no-such-user/x.py", "there is no such Python file"),
        ("", "there is no such Python file"),
        (".", "there is no such Python file"),
        ("a\0b.py", "there is no such Python file"),
        ("a" * 300 + ".py", "there is no such Python file"),
        ("my_cell.txt", "a plugin is a Python file, whose name ends in .py"),
        ("my_cell.PY", "a plugin is a Python file, whose name ends in .py"),
    ],
)
def test_what_is_no_file(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my_cell.py", "my_cell.txt", "my_cell.PY"):
        Path(name).write_text(TEXT, encoding="utf-8")
    with pytest.raises(Refused, match=re.escape(message)):
        add_plugin_file(given)
    assert [] == plugin_files()


@pytest.mark.parametrize("name", ["a#b?c%41", "a b'\"`$(x)", "a:b;c,d=e", "é漢😀\u2028x", "[a]*"])
def test_any_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "my_cell.py").write_text(TEXT, encoding="utf-8")
    add_plugin_file(str(folder / "my_cell.py"))
    assert "MyCell" == registry().get("model", "my_cell").load().__name__
    assert "my_cell" in [item.name for item in readable()]
