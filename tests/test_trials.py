"""Whole trials through the command line, some in processes of their own, on the real chorales."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from seqbench.cli import main
from seqbench.registry.plugins import registry
from seqbench.tracking.mlflow_client import quiet

pytestmark = pytest.mark.slow

ALL_TASKS = registry().all("task")
SMOKE = ("task=music", "experiment=smoke", "trainer.threads=1")
BASELINES = ("unigram", "markov", "logistic_regression")


def seqbench(folder: Path, *words: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as a user would, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "seqbench", *words],
        cwd=folder, capture_output=True, text=True, timeout=timeout, check=False,
        env=environment(),
    )  # fmt: skip


def environment() -> dict[str, str]:
    hidden = ("MLFLOW_TRACKING_URI", "SEQBENCH_TRACEBACK", "SEQBENCH_PLUGIN_FILES")
    return {name: value for name, value in os.environ.items() if name not in hidden}


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(
    fresh_registry: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run the command as :func:`seqbench` does, but in this process, which is faster."""
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)

    def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        return subprocess.CompletedProcess(words, main(words), *capfd.readouterr())

    return run


def runs(folder: Path) -> list[Run]:
    """Return the folder's runs, the latest first."""
    with quiet():
        client = MlflowClient(f"sqlite:///{folder}/seqbench-runs/mlflow.db")
        experiment = client.get_experiment_by_name("seqbench")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))


def files(folder: Path, run: Run) -> Path:
    return folder / "seqbench-runs" / "artifacts" / run.info.run_id / "artifacts"


def scores(run: Run) -> dict[str, float]:
    """Return a run's metrics without times and memory."""
    noisy = ("seconds", "steps_per_second", "peak_bytes")
    return {key: value for key, value in run.data.metrics.items() if not key.endswith(noisy)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trials")


@pytest.fixture(scope="module")
def first(folder: Path) -> subprocess.CompletedProcess[str]:
    """One smoke trial in a folder that had no store."""
    return seqbench(folder, *SMOKE, "model=lstm")


@pytest.fixture(scope="module")
def first_run(folder: Path, first: subprocess.CompletedProcess[str]) -> Run:
    return runs(folder)[-1]


def test_prints_one_table_and_nothing_else(first: subprocess.CompletedProcess[str]) -> None:
    """Scores beside baselines, costs, where it was logged, what is next; and no warning."""
    assert first.returncode == 0, first.stderr
    assert "" == first.stderr
    wanted = (*BASELINES, "test nll [nats per frame]", "context", "past", "parameters", "steps/s",
              "epoch", "seqbench-runs/mlflow.db", "seqbench -m task=music")  # fmt: skip
    assert [] == [word for word in wanted if word not in first.stdout]
    assert max(map(len, first.stdout.splitlines())) <= 80


def test_leaves_only_the_store(first: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert ["seqbench-runs"] == [path.name for path in folder.iterdir()]


IDENTITY_TAGS = {"seqbench.configuration", "seqbench.parts", "seqbench.schema", "seqbench.harness"}


def test_run_is_logged_in_full(first_run: Run, folder: Path) -> None:
    """Status, parameters, metrics per epoch, provenance, and files."""
    assert first_run.info.status == "FINISHED"
    data = first_run.data
    assert data.params["model.hidden_size"] == "128"
    assert {"train/loss", "valid/nll", "test/nll", "baseline/markov/nll"} <= set(data.metrics)
    tags = {"seqbench.key", "seqbench.data", "seqbench.task_version", *IDENTITY_TAGS}
    assert tags <= set(data.tags)
    kept = files(folder, first_run)
    assert (kept / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (kept / "checkpoint" / "best.ckpt").stat().st_size > 100_000
    config = json.loads((kept / "config.json").read_text())
    assert config["model"]["name"] == "lstm"
    record = json.loads((kept / "record.json").read_text())
    assert record["environment"]["device"] == "cpu"
    assert "torch" in record["environment"]
    assert set(record["baselines"]) == set(BASELINES)


def test_same_command_same_numbers(first_run: Run, folder: Path, command: Command) -> None:
    """The second time is bit-identical, in another process, and has the same key."""
    assert command(folder, *SMOKE, "model=lstm").returncode == 0
    second = runs(folder)[0]
    assert second.info.run_id != first_run.info.run_id
    assert scores(first_run) == scores(second)
    assert first_run.data.tags["seqbench.key"] == second.data.tags["seqbench.key"]


def test_evaluate_gives_the_same_score(first_run: Run, folder: Path, command: Command) -> None:
    """Of a run that was tested on the whole split, to every digit shown."""
    words = ("task=music", "model=rnn", "recipe.max_epochs=1", "trainer.threads=1")
    assert command(folder, *words).returncode == 0
    run = runs(folder)[0]
    result = command(folder, "evaluate", f"run={run.info.run_id[:8]}")
    assert (0, "") == (result.returncode, result.stderr)
    assert f"{run.data.metrics['test/nll']:.2f}" in result.stdout
    assert "not logged" in result.stdout


def test_evaluate_on_other_data(
    first_run: Run, folder: Path, command: Command, tmp_path: Path
) -> None:
    """A user's pickle of piano rolls is scored with the trained weights."""
    import pickle

    piece = [[60, 64, 67, 72], [62, 65, 69, 74], [60, 64, 67, 72]] * 4
    source = tmp_path / "rolls.pkl"
    source.write_bytes(pickle.dumps({part: [piece] for part in ("train", "valid", "test")}))
    result = command(
        folder, "evaluate", f"run={first_run.info.run_id[:8]}", f"task.source={source}"
    )
    assert (0, "") == (result.returncode, result.stderr)
    assert f"{first_run.data.metrics['test/nll']:.2f}" not in result.stdout


# tests/test_cli.py sends both signals by day too, to a trial that stands in.
@pytest.mark.parametrize(
    "sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)]
)
def test_stopped_run_ends_as_killed(
    sent: signal.Signals, first: subprocess.CompletedProcess[str], folder: Path
) -> None:
    """SIGTERM and Ctrl-C in the middle of training: exit 130, status KILLED, with a reason."""
    before = len(runs(folder))
    words = ("task=music", "model=peephole", "trainer.threads=1", "recipe.max_epochs=500")
    process = subprocess.Popen(
        [sys.executable, "-m", "seqbench", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            known = runs(folder)
            if len(known) > before and "valid/nll" in known[0].data.metrics:
                break
            time.sleep(1)
        process.send_signal(sent)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "seqbench: interrupted"
    assert "Traceback" not in stderr
    run = runs(folder)[0]
    assert run.info.status == "KILLED"
    assert run.data.tags["seqbench.reason"] == "interrupted"


def test_loss_that_explodes_fails_the_run(
    first: subprocess.CompletedProcess[str], folder: Path, command: Command
) -> None:
    result = command(folder, *SMOKE, "model=rnn", "recipe.lr=3e37", "recipe.clip=0")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert re.match(r"seqbench: the (training loss|validation nll) became (nan|inf)", line)
    run = runs(folder)[0]
    assert run.info.status == "FAILED"
    assert run.data.tags["seqbench.reason"] in line


def test_plugin_that_raises_fails_the_run_and_the_sweep_goes_on(
    first: subprocess.CompletedProcess[str], folder: Path, command: Command, tmp_path: Path
) -> None:
    """One trial's exception costs a line; the other trial of the sweep finishes; exit 1."""
    (tmp_path / "moody.py").write_text(
        "import torch\n\nfrom seqbench.plugins.lstm import LSTM\n\n\n"
        "class Moody(LSTM):\n"
        '    """Fails in training; the gate sees nothing of it."""\n\n'
        "    def encode(self, inputs):\n"
        "        if self.training and torch.is_grad_enabled():\n"
        "            raise RuntimeError('not today')\n"
        "        return super().encode(inputs)\n"
    )
    result = command(folder, "-m", f"+plugin={tmp_path}/moody.py", *SMOKE, "model=moody,rnn")
    assert result.returncode == 1
    assert "RuntimeError: not today" in result.stderr
    assert "1 of 2 trials failed" in result.stderr
    assert "Traceback" not in result.stderr
    latest = runs(folder)[:2]
    assert {"moody": "FAILED", "rnn": "FINISHED"} == {
        run.data.tags["seqbench.model"]: run.info.status for run in latest
    }


def test_lifecycle_hooks_hear_a_trial(tmp_path: Path, command: Command) -> None:
    (tmp_path / "ears.py").write_text(
        "import pathlib\n"
        "from seqbench.registry.hookspecs import hookimpl\n\n"
        "def note(text):\n"
        "    with pathlib.Path('heard.txt').open('a') as file:\n"
        "        file.write(text + '\\n')\n\n"
        "@hookimpl\n"
        "def seqbench_run_started(trial):\n"
        "    note(f\"started {trial['model']}\")\n\n"
        "@hookimpl\n"
        "def seqbench_epoch_ended(epoch, metrics):\n"
        "    note(f\"epoch {epoch} {'valid/nll' in metrics}\")\n\n"
        "@hookimpl\n"
        "def seqbench_run_ended(status):\n"
        "    note(status)\n"
    )
    result = command(tmp_path, "+plugin=ears.py", *SMOKE, "model=rnn", "tracking=none")
    assert result.returncode == 0, result.stderr
    heard = (tmp_path / "heard.txt").read_text().splitlines()
    assert ["started rnn", "epoch 0 True", "FINISHED"] == heard


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of commands that run in this process, which is faster."""
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    return tmp_path


# By day tests/golden trains each of them.
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=() if name in ("lstm", "grud") else pytest.mark.nightly)
        for name in registry().names("model")
    ],
)
def test_every_model_trains_untracked(
    model: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`tracking=none` leaves no file behind."""
    assert 0 == main([*SMOKE, f"model={model}", "tracking=none"])
    out, err = capfd.readouterr()
    assert "" == err
    assert "nowhere (tracking=none)" in out
    assert [] == list(here.iterdir())


@pytest.mark.parametrize("task", sorted({item.target: item.name for item in ALL_TASKS}.values()))
def test_every_task_trains(task: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every fold of it, with a model that reads both ways, and not a word on stderr."""
    assert 0 == main([f"task={task}", "model=bilstm", "experiment=smoke", "tracking=none"])
    out, err = capfd.readouterr()
    assert "" == err
    assert f"{task}, bilstm, seed 0" in out
    assert [] == list(here.iterdir())


def test_a_model_of_a_fold_is_evaluated_on_that_fold_alone(
    tmp_path: Path, command: Command
) -> None:
    words = ("task=speech", "task.fold=1", "model=gru", "experiment=smoke")
    result = command(tmp_path, *words)
    assert (0, "") == (result.returncode, result.stderr)
    (run,) = runs(tmp_path)
    assert (files(tmp_path, run) / "checkpoint" / "best.ckpt").is_file()
    assert 0 == command(tmp_path, "evaluate", f"run={run.info.run_id}").returncode
    refused = command(tmp_path, "evaluate", f"run={run.info.run_id}", "task.fold=all")
    assert 2 == refused.returncode
    assert "has no model for folds george, " in refused.stderr
    assert refused.stderr.endswith("; it has: jackson\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.hidden_size=-3",), "hidden_size must be at least 1, not -3"),
        (("model=bilstm", "model.directions=mixed"), "directions=mixed"),
        (("task.source=missing.mat",), "missing.mat"),
        (("task.source=broken.mat",), "broken.mat"),
        (("trainer=gpu",), "no CUDA GPU"),
        (("model=peephole", "model.backend=native"), "no kernel for PeepholeLSTMCell"),
        (("tracking.uri=file.txt/store",), "file.txt"),
    ],
)
def test_refusals_leave_nothing(
    words: tuple[str, ...], message: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, one line, and the folder as it was."""
    if words == ("trainer=gpu",):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    (here / "broken.mat").write_bytes(b"not a mat file")
    (here / "file.txt").write_text("not a folder")
    assert 2 == main(["experiment=smoke", *words])
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
    assert {"broken.mat", "file.txt"} == {path.name for path in here.iterdir()}
