"""Which modules are a plugin's own code, and that they are read as they stand now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.registry.codehash import code_hash
from seqbench.registry.reach import Own

MODEL = "class M:\n    def encode(self, a):\n        return f(a)\n"
HOOKS = "from mine import M\ndef seqbench_models(): ...\n"
MINE = "from eq import f\nfrom pack.deep import g\nK = 0\n" + MODEL


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("eq.py", "def f(x): return 2 * x\n"),
        ("hooks.py", HOOKS + "import mine\nmine.K = 2\n"),
        ("hooks.py", HOOKS + "import torch\ntorch.set_default_dtype(torch.float64)\n"),
        ("mine.py", MINE.replace("f(a)", "2 * f(a)")),
        ("mine.py", MINE.replace("f(a)", "g(a)")),
    ],
)
@pytest.mark.parametrize("how", ["a file's folder", "a distribution", "an editable install"])
def test_a_module_beside_hooks(tmp_path: Path, how: str, file: str, text: str) -> None:
    """What lies beside hooks is their plugin's own code, and what they do on import counts."""
    found = []
    for number, changed in enumerate(({}, {"other.py": "X = 1\n"}, {file: text})):
        folder = tmp_path / str(number)
        files = {"hooks.py": HOOKS, "eq.py": "def f(x): return x\n", "mine.py": MINE}
        files |= {"pack/deep.py": "def g(x): return 3 * x\n"}
        for name, content in (files | changed).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        own = {
            "a file's folder": Own(folder=str(folder), hooks=str(folder / "hooks.py")),
            "a distribution": Own(names=("eq", "hooks", "mine", "pack"), hooks="hooks"),
            "an editable install": Own(folder=str(folder), hooks="hooks"),
        }[how]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(folder), *sys.path])
            found.append(code_hash("mine:M", own))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_module_that_another_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two plugins' files cannot both import what is called alike; the second is refused."""
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "eq.py").write_text(f"def f(x): return '{name}'\n")
        (tmp_path / name / "json.py").write_text("")
        text = "import json\n" + (f"from eq import f\n{MODEL}")
        (tmp_path / name / f"{name.lower()}cell.py").write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "A"), str(tmp_path / "B")])
    code_hash(f"{tmp_path}/A/acell.py:M")
    with pytest.raises(Refused) as refusal:
        code_hash(f"{tmp_path}/B/bcell.py:M")
    hidden = f"is hidden by {tmp_path}/A/eq.py: rename one of them"
    assert f"eq, which {tmp_path}/B/bcell.py imports, {hidden}" == str(refusal.value)


def test_a_file_that_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes on sees it, though size and times stay."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "m.py").write_text(f"from eq import f\n{MODEL}")
    found = set()
    for number in range(3):
        (tmp_path / "eq.py").write_text(f"def f(x): return {number}\n")
        found.add(code_hash(f"{tmp_path}/m.py:M"))
    assert len(found) == 3
