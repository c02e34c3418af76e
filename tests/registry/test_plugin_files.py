"""``+plugin=FILE``: read as Python reads it; where its name is at fault, the right one is said."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from seqbench.cli import main
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
        (".", "+plugin=. is a folder; name a file in it: +plugin=./NAME.py"),
        ("folder.py", "+plugin=folder.py is a folder; name a file in it"),
        ("broken.py", "+plugin=broken.py: there is no such Python file"),
        ("loop.py", "+plugin=loop.py: there is no such Python file"),
        ("pipe.py", "+plugin=pipe.py: there is no such Python file"),
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
    Path("folder.py").mkdir()
    Path("broken.py").symlink_to("nowhere.py")
    Path("loop.py").symlink_to("loop.py")
    os.mkfifo("pipe.py")
    with pytest.raises(Refused, match=re.escape(message)) as refusal:
        add_plugin_file(given)
    assert f"mean '{given}'" not in str(refusal.value)
    assert [] == plugin_files()


@pytest.mark.parametrize("name", ["a#b?c%41", "a b'\"`$(x)", "a:b;c,d=e", "é漢😀\u2028x", "[a]*"])
def test_any_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "my_cell.py").write_text(TEXT, encoding="utf-8")
    add_plugin_file(str(folder / "my_cell.py"))
    assert "MyCell" == registry().get("model", "my_cell").load().__name__
    assert "my_cell" in [item.name for item in readable()]


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "UTF-16": (TEXT.encode("utf-16"), "it has zero bytes, as text in UTF-16 has; save it as UTF-8"),
    "without mark": (TEXT.encode("utf-16-le"), "it has zero bytes"),
    "UTF-32": (TEXT.encode("utf-32"), "it has zero bytes"),
    "a zero byte": (TEXT.encode() + b"\0", "it has zero bytes"),
    "Latin-1": (TEXT.encode("latin-1"), " is no text in utf-8; save it as UTF-8"),
    "another one": (b"# coding: ascii\n" + TEXT.encode(), " is no text in ascii; save it as UTF-8"),
    "none": (b"# coding: nope\n" + TEXT.encode(), "unknown encoding: nope"),
    "syntax": (b"x = 1\nclass (:\n", "line 2: "),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_python_cannot_read(case: str, tmp_path: Path) -> None:
    """One line with what to do; saved as it says, the file can be used."""
    content, message = UNREADABLE[case]
    path = tmp_path / "my_cell.py"
    path.write_bytes(content)
    add_plugin_file(str(path))
    with pytest.raises(Refused, match=re.escape(f"{path} is not valid Python: ")) as refusal:
        registry()
    line = str(refusal.value)
    assert message in line
    assert "None" not in line
    assert "\n" not in line
    path.write_text(TEXT, encoding="utf-8")
    registry.cache_clear()
    assert "MyCell" == registry().get("model", "my_cell").load().__name__


@pytest.mark.parametrize("stem", ["my_cell", "lstm"])
def test_a_name_that_is_taken(stem: str, tmp_path: Path) -> None:
    """By another file or a built-in model: what is advised can be done."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        text = TEXT.replace("MyCell", "LSTM" if stem == "lstm" else "MyCell")
        (tmp_path / folder / f"{stem}.py").write_text(text, encoding="utf-8")
    for folder in ("a", "b"):
        add_plugin_file(str(tmp_path / folder / f"{stem}.py"))
    with pytest.raises(Refused) as refusal:
        registry().get("model", stem)
    assert f"; leave out +plugin={tmp_path / 'b' / stem}.py, or give " in str(refusal.value)


@pytest.mark.parametrize("word", ["plugin=my_cell.py", "++plugin=my_cell.py"])
def test_a_plugin_has_one_plus(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main([word, "list"])
    assert f"{word}: write +plugin=my_cell.py, with one +" in capsys.readouterr().err
