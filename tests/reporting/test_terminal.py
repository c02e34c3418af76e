"""The table is short, plain when piped, and says who is better; the picture shows the curve."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from seqbench.records import MetricInfo, TrialRecord
from seqbench.reporting.curves import learning_curve
from seqbench.reporting.terminal import Evaluation, next_command, print_result, score_table

NLL = MetricInfo("nll", "min", "nats per frame")


def a_record(**changes: object) -> TrialRecord:
    fields: dict[str, object] = {
        "key": "k",
        "task": "music",
        "model": "bilstm",
        "seed": 0,
        "context": "past+future",
        "monitor": NLL,
        "primary": NLL,
        "metrics": {"test/nll": 8.7123, "test/accuracy": 0.3124, "valid/nll": 8.66},
        "baselines": {
            "unigram": {"nll": 11.54},
            "better one": {"nll": 8.5},
            "logistic regression": {"nll": 9.06},
        },
        "history": [{"train/nll": 10.0 - i, "valid/nll": 10.5 - i} for i in range(3)],
        "parameters": 123456,
        "epochs": 3,
        "best_epochs": [2],
        "steps": 42,
        "steps_per_second": 41.23,
        "seconds": 131.6,
        "backend": "cpu",
        "location": "seqbench-runs/mlflow.db run 1a2b3c4d",
    }
    return TrialRecord(**(fields | changes))  # type: ignore[arg-type]


def printed(record: TrialRecord, width: int = 80) -> list[str]:
    output = io.StringIO()
    print_result(record, Console(file=output, width=width, highlight=False, emoji=False))
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_table_ranks_the_model_among_the_baselines() -> None:
    """Rows are sorted by score, and each baseline says by how much the model is better or worse."""
    lines = printed(a_record())
    rows = [line.split() for line in lines[5:9]]
    assert rows == [
        ["better", "one", "8.50", "WORSE", "by", "0.21"],
        ["bilstm", "8.71"],
        ["logistic", "regression", "9.06", "better", "by", "0.35"],
        ["unigram", "11.54", "better", "by", "2.83"],
    ]
    assert "test nll [nats per frame]" in lines[3]


def test_table_tells_what_the_result_cost_and_where_it_is() -> None:
    """Context, other scores, parameters, epochs, speed, time, back end, location, next command."""
    text = "\n".join(printed(a_record()))
    for fact in (
        "past+future (not to be ranked with context=past)",
        "accuracy 0.312",
        "nll 8.660 nats per frame",
        "123,456",
        "3 epochs (best: 3), 41.2 steps/s, 2 min 12 s in all",
        "cpu",
        "seqbench-runs/mlflow.db run 1a2b3c4d",
        "seqbench -m task=music model=bilstm,lstm seed=0,1,2",
    ):
        assert fact in text


def test_table_fits_a_terminal() -> None:
    """No line of an ordinary result is wider than 80 columns."""
    assert max(map(len, printed(a_record()))) <= 80


@pytest.mark.parametrize("width", [40, 60, 80])
def test_scores_fit_a_narrow_terminal(width: int) -> None:
    """Names and scores stay whole at any width; headings and verdicts fold instead."""
    lines = printed(a_record(), width)
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("context"))]
    assert max(map(len, table)) <= width
    for name, score in (("bilstm", "8.71"), ("unigram", "11.54"), ("logistic regression", "9.06")):
        assert any(line.startswith(name) and score in line for line in table[3:])
    assert 2 == sum("better" in line for line in table[5:] if not line.startswith("better"))


def test_model_that_is_scored_again() -> None:
    """The table says whose model saw which data, and claims no logged result."""
    output = io.StringIO()
    kept = ["task=music", "task.source=my rolls.pkl"]
    evaluation = Evaluation("run 1a2b3c4d", ["task.source=my rolls.pkl"], "f00d", kept)
    record = a_record(location="")
    print_result(record, Console(file=output, width=80), evaluation)
    text = output.getvalue()
    for line in (
        "music, bilstm of run 1a2b3c4d, on other data",
        "evaluated     run 1a2b3c4d, not logged",
        "data          task.source=my rolls.pkl",
        "baselines     fitted on the training split of these data",
        "fingerprint   f00d",
        "-m task=music 'task.source=my rolls.pkl' model=bilstm,lstm",
    ):
        assert line in text
    assert "logged  " not in text


def test_a_long_path_is_neither_cut_nor_broken() -> None:
    location = "/scratch/" + "very-long-folder/" * 8 + "mlflow.db run 1a2b3c4d"
    lines = printed(a_record(location=location))
    store = location.removesuffix(" run 1a2b3c4d")
    assert f"logged        {location}; to see it: seqbench ui tracking.uri={store}" in lines


def test_piped_output_is_plain() -> None:
    """To a pipe there are no colour codes, and to one without Unicode nothing fails."""
    code = (
        "from seqbench.records import TrialRecord\n"
        "from seqbench.reporting.terminal import print_result\n"
        "print_result(TrialRecord('k', 'music', 'lstm', 0, metrics={'test/loss': 1.0}))"
    )
    environment = {"PYTHONIOENCODING": "ascii:strict", "PATH": "/usr/bin:/bin", "TERM": "xterm"}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, check=True
    )
    assert b"\x1b" not in answer.stdout
    assert b"lstm" in answer.stdout


def test_larger_is_better_where_the_metric_says_so() -> None:
    """With direction max, the model with the larger score stands first and is the better one."""
    table = score_table(
        MetricInfo("auroc", "max"),
        {"rnn": {"auroc": 0.9}, "age": {"auroc": 0.8}},
        "rnn",
        {"age": {"auroc": (0.05, 0.15)}},
    )
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    assert cells == [
        ["rnn", "age"],
        ["0.900", "0.800"],
        ["", "better by 0.100 (95%: 0.050 to 0.150)"],
    ]


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (2.0, "equal"),
        (2.00004, "equal"),
        (math.nan, "not comparable"),
        (math.inf, "not comparable"),
    ],
)
def test_no_difference_is_claimed_where_there_is_none(other: float, verdict: str) -> None:
    """Scores that print alike are equal; what is not a number stands last and is not compared."""
    table = score_table(NLL, {"rnn": {"nll": 2.0}, "other": {"nll": other}}, "rnn", {})
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    assert cells[0][0] == "rnn"
    assert verdict == cells[2][1]


def test_brackets_in_names_are_text() -> None:
    """Rich's markup is not read out of a user's names."""
    assert any("run[bold]x" in line for line in printed(a_record(location="run[bold]x")))


def test_failed_trial_says_why() -> None:
    """A trial that failed has no scores to show, but a reason and a place."""
    lines = printed(a_record(status="FAILED", reason="loss is not finite at step 3"))
    assert "ended   FAILED: loss is not finite at step 3" in lines
    assert not any("8.71" in line for line in lines)


def test_next_command_compares_with_another_model() -> None:
    assert "model=lstm,gru " in next_command(a_record(model="lstm"))


def test_untimed_trial_claims_no_speed() -> None:
    """A stored model that was only tested again has no training time."""
    text = "\n".join(printed(a_record(seconds=0.0, steps_per_second=0.0)))
    assert "steps/s" not in text


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_learning_curve_is_drawn(tmp_path: Path, epochs: int) -> None:
    """The picture has both curves, the selected epoch, the units and each baseline."""
    history = [{"train/nll": 9 - i / 50, "valid/nll": 9.5 - i / 60} for i in range(epochs)]
    path = tmp_path / "curve.svg"
    learning_curve(a_record(history=history, best_epochs=[epochs - 1]), path)
    text = path.read_text()
    for comment in (
        "music, bilstm, seed 0",
        "nll [nats per frame]",
        "train",
        "validation",
        f"selected: epoch {epochs}, validation {9.5 - (epochs - 1) / 60:.4g}",
        "unigram 11.54",
        "logistic regression 9.06",
    ):
        assert f"<!-- {comment} -->" in text


def test_learning_curve_of_folds(tmp_path: Path) -> None:
    """Every fold has its curve from epoch 1 on, and selected epoch; the legend names them once."""
    history = [
        {"train/nll": 9 - i / 50, "valid/nll": 9.5 - i / 60, "fold": float(fold)}
        for fold in (3, 4)
        for i in range(5 + fold)
    ]
    path = tmp_path / "curve.svg"
    learning_curve(a_record(history=history, folds=[3, 4], best_epochs=[7, 8]), path)
    text = path.read_text()
    for comment in ("train, 2 folds", "validation, 2 folds", "selected epochs"):
        assert 1 == text.count(f"<!-- {comment} -->")
    assert "<!-- 9 -->" in text
    assert "<!-- 15 -->" not in text


def test_folds_and_intervals_are_printed() -> None:
    record = a_record(
        folds=[3, 4],
        metrics={"test/nll": 8.5, "fold-3/nll": 8.4, "fold-4/nll": 8.6},
        intervals={"nll": (8.3, 8.7)},
        differences={"unigram": {"nll": (-3.25, -2.75)}},
        best_epochs=[7, 8],
    )
    lines = printed(record)
    assert "95% intervals  nll 8.300 to 8.700" in lines
    assert "by fold        8.400, 8.600" in lines
    assert any("better by 3.04 (95%: 2.75 to" in line for line in lines)
    assert any("(best: 8, 9)" in line for line in lines)


@pytest.mark.parametrize(("direction", "drawn"), [("min", True), ("max", False)])
def test_training_loss_shares_only_an_axis_of_losses(
    tmp_path: Path, direction: str, drawn: bool
) -> None:
    """The loss is drawn beside an NLL, and not beside an AUROC."""
    history = [{"train/loss": 0.9, "valid/score": 0.8}]
    record = a_record(history=history, monitor=MetricInfo("score", direction), baselines={})
    learning_curve(record, tmp_path / "curve.svg")
    assert drawn == ("<!-- train loss -->" in (tmp_path / "curve.svg").read_text())


def test_learning_curve_of_what_is_not_finite(tmp_path: Path) -> None:
    """An epoch without a finite score leaves a gap, not an error."""
    history = [{"train/nll": math.nan, "valid/nll": math.inf}, {"train/nll": 9.0}]
    learning_curve(a_record(history=history, baselines={}), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_learning_curve_of_odd_names(tmp_path: Path) -> None:
    """Dollars in names and units are text, not mathematics."""
    odd = r"$\frac$"
    record = a_record(
        task=odd, model=odd, monitor=MetricInfo("nll", "min", odd), baselines={odd: {"nll": 9.0}}
    )
    learning_curve(record, tmp_path / "curve.svg")
    assert f"<!-- nll [{odd}] -->" in (tmp_path / "curve.svg").read_text()


def test_learning_curve_needs_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without an epoch"):
        learning_curve(a_record(history=[]), tmp_path / "curve.png")


def test_reporting_imports_nothing_heavy(tmp_path: Path) -> None:
    """The table needs no torch, and the picture leaves pyplot's global state alone."""
    code = (
        "import sys, seqbench.reporting.terminal, seqbench.reporting.curves\n"
        "assert not {'torch', 'lightning', 'mlflow', 'matplotlib'} & set(sys.modules)\n"
        "from seqbench.records import TrialRecord\n"
        "from pathlib import Path\n"
        "record = TrialRecord('k', 't', 'm', 0, history=[{'valid/loss': 1.0}])\n"
        "seqbench.reporting.curves.learning_curve(record, Path(sys.argv[1]))\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "curve.png")], check=True)
