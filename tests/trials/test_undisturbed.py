"""No trial, and nothing that a plugin does beside one, changes the next."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from seqbench.config import composition
from seqbench.records import TrialRecord
from seqbench.registry.plugins import add_plugin_file, registry
from seqbench.trials import undisturbed as module
from seqbench.trials.run import run
from seqbench.trials.undisturbed import undisturbed

TASK = Path(__file__).parents[2] / "examples/seqbench-plugin-example/seqbench_example/latch.py"
WORDS = (
    "task=latch",
    "task.lag=5",
    "task.sequences=16",
    "model=rnn",
    "model.hidden_size=4",
    "recipe.max_epochs=2",
    "trainer.progress=false",
)
CHANGES = {
    "default dtype": "torch.set_default_dtype(torch.float64)",
    "default device": "torch.set_default_device('meta')",
    "grad": "torch.set_grad_enabled(False)",
    "anomalies": "torch.autograd.set_detect_anomaly(True)",
    "threads": "torch.set_num_threads(2)",
    "matmul": "torch.set_float32_matmul_precision('medium')",
    "deterministic": "torch.use_deterministic_algorithms(True, warn_only=True)",
    "cudnn": "torch.backends.cudnn.enabled = False",
    "cudnn's choice": "torch.backends.cudnn.benchmark = True",
    "cudnn's order": "torch.backends.cudnn.deterministic = True",
    "cudnn's TF32": "torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32",
    "numpy's errors": "np.seterr(all='raise')",
    "torch's random state": "torch.manual_seed(3)",
    "numpy's random state": "np.random.seed(3)",
    "Python's random state": "random.seed(3)",
    "folder": "os.mkdir('elsewhere'); os.chdir('elsewhere')",
    "environment": "os.environ['MLFLOW_TRACKING_URI'] = 'elsewhere'; os.environ.pop('HOME', '')",
    "path": "sys.path.insert(0, 'elsewhere')",
}
DOES = "; ".join(CHANGES.values())
HEAD = """
import os, random, sys
import numpy as np
import torch
from seqbench import hookimpl


@hookimpl
"""
HOOKS = {
    "output": "def seqbench_outputs(trial):\n    ",
    "start": "def seqbench_run_started(trial):\n    ",
    "epoch": "def seqbench_epoch_ended(trial):\n    ",
    "end": "def seqbench_run_ended(trial):\n    ",
}


def state() -> list[object]:
    found: list[object] = [read() for read, _ in module._SWITCHES.values()]
    found += [torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())]
    return [*found, os.getcwd(), dict(os.environ), list(__import__("sys").path)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    add_plugin_file(str(TASK))
    registry()
    return tmp_path


def trial(*words: str) -> TrialRecord:
    return run(composition.settings(composition.compose([*WORDS, *words])))


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_put_back(change: str, folder: Path) -> None:
    before = state()
    with undisturbed():
        exec(CHANGES[change], {**globals(), "sys": __import__("sys")})
        assert before != state()
    assert before == state()
    assert set(module._SWITCHES) <= set(CHANGES)


def test_what_is_put_back_after_a_failure(folder: Path) -> None:
    before = state()

    @undisturbed()
    def failing() -> None:
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert before == state()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_plugin_that_changes_the_process(hook: str, folder: Path) -> None:
    """The trial that it takes part in and the next have the bits and the store of others."""
    expected = trial()
    (folder / "busy.py").write_text(
        HEAD + HOOKS[hook] + DOES.replace("os.mkdir('elsewhere'); ", "")
    )
    (folder / "elsewhere").mkdir()
    add_plugin_file(str(folder / "busy.py"))
    registry()
    before = state()
    for seed in (0, 0):
        found = trial(f"seed={seed}")
        assert without_time(expected) == without_time(found)
        assert before == state()
    assert not list((folder / "elsewhere").iterdir())


def without_time(record: TrialRecord) -> list[dict[str, float]]:
    return [
        {name: value for name, value in epoch.items() if "second" not in name}
        for epoch in record.history
    ]


TASK_OF_ITS_OWN = """
import os
from latch import Latch


class Moving(Latch):
    def prepare(self):
        os.makedirs("elsewhere", exist_ok=True)
        os.chdir("elsewhere")
        super().prepare()
"""


def test_a_task_that_changes_the_folder(folder: Path) -> None:
    (folder / "moving.py").write_text(TASK_OF_ITS_OWN)
    add_plugin_file(str(folder / "moving.py"))
    record = trial("task=moving")
    assert (folder / "seqbench-runs" / "artifacts" / record.run_id).is_dir()
    assert not list((folder / "elsewhere").iterdir())


MODEL = """
import torch
from seqbench.nn import RecurrentModel
from seqbench.nn.cells import RNNCell

torch.set_num_threads(torch.get_num_threads())
torch.set_default_dtype(torch.float64)


class Exact(RecurrentModel):
    cell = RNNCell
"""


def test_a_setting_of_an_import_holds_in_every_trial_of_the_module(folder: Path) -> None:
    """As in processes of their own: in the first, which imports it, and in the second."""
    (folder / "exact.py").write_text(MODEL)
    add_plugin_file(str(folder / "exact.py"))
    plain = trial()
    dtypes = []
    real = torch.get_default_dtype
    for word in ("model=exact", "model=rnn", "model=exact"):
        with module.undisturbed():
            from seqbench.trials.trial import load

            load(composition.settings(composition.compose([*WORDS, word])))
            dtypes.append(real())
    assert dtypes == [torch.float64, torch.float32, torch.float64]
    assert without_time(plain) == without_time(trial())
