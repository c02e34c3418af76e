"""The tutorial, typed in: every file and every command of docs/tutorial.md, in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
)

pytestmark = pytest.mark.slow


def typed(text: str, folder: Path) -> list[tuple[list[str], str]]:
    """Do what a section says, up to where something is installed; return commands and output."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    env.pop("MLFLOW_TRACKING_URI", None)
    done = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            (name,) = re.findall(r"\A# (\w+\.py)\n", block)
            (folder / name).write_text(block.partition("\n")[2])
            continue
        for line in block.splitlines():
            words = shlex.split(line)
            if words[:3] == [
                "pip",
                "install",
                "-e",
            ]:  # tests/commands/test_new.py does
                return done
            if words[0] == "pip":
                continue
            known = {"seqbench": [sys.executable, "-m", "seqbench"], "python": [sys.executable]}
            command = [*known.get(words[0], [words[0]]), *words[1:]]
            result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
            assert 0 == result.returncode, f"{line}\n{result.stdout}{result.stderr}"
            done.append((words, result.stdout))
    return done


def test_a_new_cell(tmp_path: Path) -> None:
    """From install to the answer in ten commands at most; the package has the file."""
    done = typed(SECTIONS["A new cell"], tmp_path)
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


def test_a_task_from_a_csv(tmp_path: Path) -> None:
    done = typed(SECTIONS["A task from your CSV"], tmp_path)
    compared = done[-1][1]
    assert re.search(r"^ *gru .*6 of 6", compared, re.MULTILINE)
    assert re.search(r"^ *nearest_mean ", compared, re.MULTILINE)
