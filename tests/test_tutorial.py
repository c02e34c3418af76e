"""The tutorial, typed in: every file and every command of docs/tutorial.md, in their order.

By day seqbench's commands run in this process, and sweeps on a few examples; by night as they
stand, in processes of their own.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.registry.plugins import PLUGIN_FILES, registry

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)

Typed = Callable[[str], list[tuple[list[str], str]]]

pytestmark = pytest.mark.slow


@pytest.fixture(params=["here", pytest.param("in processes", marks=pytest.mark.nightly)])
def typed(
    request: pytest.FixtureRequest,
    fresh_registry: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Typed:
    """Do what a section says, up to where something is installed; return commands and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(command: list[str]) -> tuple[int, str, str]:
        result = subprocess.run(command, capture_output=True, text=True)
        return result.returncode, result.stdout, result.stderr

    def seqbench(words: list[str]) -> tuple[int, str, str]:
        if request.param == "in processes":
            return run([sys.executable, "-m", "seqbench", *words])
        monkeypatch.setenv(PLUGIN_FILES, "")  # no command knows the files of the one before
        registry.cache_clear()
        code = main([*words, "recipe.max_examples=24"] if "-m" in words else words)
        return code, *capsys.readouterr()

    def do(text: str) -> list[tuple[list[str], str]]:
        done = []
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if language == "python":
                (name,) = re.findall(r"\A# (\w+\.py)\n", block)
                (tmp_path / name).write_text(block.partition("\n")[2])
                continue
            for line in block.splitlines():
                words = shlex.split(line)
                if words[:3] == ["pip", "install", "-e"]:  # tests/commands/test_new.py does
                    return done
                if words[0] == "pip":
                    continue
                if words[0] == "seqbench":
                    code, output, error = seqbench(words[1:])
                else:
                    known = {"python": sys.executable}
                    code, output, error = run([known.get(words[0], words[0]), *words[1:]])
                assert 0 == code, f"{line}\n{output}{error}"
                done.append((words, output))
        return done

    return do


def test_a_new_cell(typed: Typed, tmp_path: Path) -> None:
    """From install to the answer in ten commands at most; the package has the file."""
    done = typed(SECTIONS["A new cell"])
    names = [words[1] for words, _ in done if words[0] == "seqbench"]
    assert "compare" in names
    assert names.index("compare") + 2 <= 10  # with pip install
    checked = next(output for words, output in done if words[1:2] == ["check"])
    assert "15 kept, 0 broken" in checked
    compared = next(output for words, output in done if words[1:2] == ["compare"])
    assert re.search(r"^ *my_peephole .*6 of 6", compared, re.MULTILINE)
    assert re.search(r"^ *lstm .*6 of 6 .*control", compared, re.MULTILINE)
    package = tmp_path / "seqbench-my-peephole" / "seqbench_my_peephole" / "my_peephole.py"
    assert "p.w_f * s.c" in package.read_text()


def test_the_cell_of_the_tutorial_is_the_one_that_is_built_in(tmp_path: Path) -> None:
    """Seven lines of equations, and the same numbers as `model=peephole` to the last bit."""
    (block,) = re.findall(r"```python\n# my_peephole.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (lines,) = re.findall(r"def equations\(self, a, s, p\):\n(.*?)\n\n", block, re.DOTALL)
    assert 7 == len(lines.splitlines())
    import torch

    from seqbench.nn import PeepholeLSTMCell, unroll

    found: dict[str, type] = {}
    exec(compile(block, "my_peephole.py", "exec"), found)
    torch.manual_seed(0)
    mine, theirs = found["MyPeepholeCell"](3, 4).double(), PeepholeLSTMCell(3, 4).double()
    values = torch.randn(2, 9, 3, dtype=torch.float64)
    blocks = {name: weight.chunk(4) for name, weight in theirs.state_dict().items()
              if weight.shape[0] == 16}  # fmt: skip
    order = [theirs.gates.index(gate) for gate in mine.gates]
    state = {name: torch.cat([parts[at] for at in order]) for name, parts in blocks.items()}
    vectors = dict(zip(("w_f", "w_i", "w_o"), torch.randn(3, 4, dtype=torch.float64), strict=True))
    mine.load_state_dict({**state, **vectors})
    names = {name[-1]: name for name in theirs.vectors}
    theirs.load_state_dict(
        {**theirs.state_dict(), **{names[key[-1]]: value for key, value in vectors.items()}}
    )
    torch.testing.assert_close(
        unroll(mine, values).hidden, unroll(theirs, values).hidden, rtol=0, atol=1e-12
    )


def test_a_task_from_a_csv(typed: Typed) -> None:
    done = typed(SECTIONS["A task from your CSV"])
    compared = done[-1][1]
    assert re.search(r"^ *gru .*6 of 6", compared, re.MULTILINE)
    assert re.search(r"^ *nearest_mean ", compared, re.MULTILINE)
