"""What a trial does with plugins that break or cheat, and what its key depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seqbench.config import composition
from seqbench.config.command import kept_words
from seqbench.errors import Refused, TrialFailed
from seqbench.records import TrialRecord
from seqbench.registry.plugins import add_plugin_file
from seqbench.reporting.terminal import print_result
from seqbench.trials.run import run

TASK = '''
import torch
from seqbench.api import (
    Visibility, Example, InputSpec, MeanLoss, Metric, OutputSpec, Splits, Task,
)


class Toy(Task):
    """Predict the next of a few random numbers."""

    version = "1"
    visibility = Visibility.NEXT
    monitor = primary = Metric("error", "min", "$\\\\frac{1$")
    citation = licence = ""
    sizes = {}
    metric_help = {}

    def __init__(self, *, source: str | None = None, lead: float = 0.3, flag: bool = True) -> None:
        pass

    def prepare(self):
        pass

    def splits(self, fold=0):
        generator = torch.Generator().manual_seed(0)
        parts = [[torch.rand(5, 2, generator=generator) for _ in range(6)] for _ in range(3)]
        return Splits(*[[Example(v, v) for v in part] for part in parts])

    def fingerprint(self):
        return "toy"

    def input_spec(self, train):
        return InputSpec(2)

    def output_spec(self, train):
        return OutputSpec(2)

    def loss(self, predictions, targets):
        return (predictions - targets).square().sum(-1)

    def metrics(self):
        return MeanLoss(self, "error")

    def baselines(self, splits):
        return {"copy": [example.values for example in splits.test]}
'''
MODEL = '''
import torch
from seqbench.api import Encoding
from seqbench.plugins.lstm import LSTM


class Odd(LSTM):
    """An LSTM with something odd."""
'''
CHEAT = """
    def encode(self, inputs):
        encoding = super().encode(inputs)
        steps = torch.zeros_like(encoding.forward_steps)
        steps[:, :-1, 0] = inputs.values[:, 1:, 0]
        return encoding._replace(forward_steps=steps)
"""


@pytest.fixture
def trial(tmp_path: Path) -> Callable[..., TrialRecord]:
    """Run one epoch of the toy task, its code or the model's extended by some lines."""

    def start(*words: str, task: str = "", model: str | None = None) -> TrialRecord:
        (tmp_path / "toy.py").write_text(TASK + task)
        add_plugin_file(str(tmp_path / "toy.py"))
        if model is not None:
            (tmp_path / "odd.py").write_text(MODEL + model)
            add_plugin_file(str(tmp_path / "odd.py"))
            words = (*words, "model=odd")
        fixed = ("task=toy", "tracking=none", "recipe.max_epochs=1", "trainer.progress=false")
        settings = composition.settings(composition.compose([*fixed, *words]))
        record = run(settings)
        print_result(record, kept=kept_words(settings))
        return record

    return start


def test_a_trial_of_plugins_runs(
    trial: Callable[..., TrialRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with a group that is no valid mathematics; what to try next can be typed as it is."""
    record = trial("task.source=here", "task.lead=0.5", "recipe.max_examples=4", model="    pass\n")
    shown = capsys.readouterr().out
    assert "first 4 sequences of each split" in shown
    (following,) = [line for line in shown.splitlines() if line.startswith("next")]
    assert "odd.py" in following
    assert "task.source=here task.lead=0.5 tracking=none model=" in following
    assert record.status == "FINISHED"
    assert {"copy": {"error": 0.0}} == record.baselines
    assert record.backend == "cpu"


FOLDS = """
    pooling = "folds"

    def folds(self):
        return (2, 5)

    def splits(self, fold=0):
        generator = torch.Generator().manual_seed(fold)
        parts = [[torch.rand(5, 2, generator=generator) for _ in range(6)] for _ in range(3)]
        return Splits(*[[Example(v, v) for v in part] for part in parts])

    def baselines(self, splits):
        return {"zero": [0 * example.values for example in splits.test]}
"""


def test_a_model_is_trained_for_each_fold(trial: Callable[..., TrialRecord]) -> None:
    """Test scores are the mean over folds, and each fold's stand beside it; so are baselines."""
    record = trial("recipe.max_epochs=3", "recipe.patience=1", task=FOLDS)
    assert [2, 5] == record.folds
    by_fold = [record.metrics[f"fold-{fold}/error"] for fold in (2, 5)]
    assert by_fold[0] != by_fold[1]
    assert pytest.approx(sum(by_fold) / 2) == record.metrics["test/error"]
    best = [
        min(epoch["valid/error"] for epoch in record.history if epoch["fold"] == fold)
        for fold in (2, 5)
    ]
    assert pytest.approx(sum(best) / 2) == record.metrics["valid/error"]
    assert len(record.history) == record.epochs
    assert 2 == len(record.best_epochs)
    generators = [torch.Generator().manual_seed(fold) for fold in (2, 5)]
    rolls = [torch.rand(18, 5, 2, generator=generator)[12:] for generator in generators]
    squares = torch.cat(rolls).square().sum(-1).mean()
    assert pytest.approx(float(squares), rel=1e-5) == record.baselines["zero"]["error"]


def test_a_record_has_the_groups_and_the_baselines_draws(
    trial: Callable[..., TrialRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    """Six sequences of five steps; the copy makes no error, whatever is drawn."""
    record = trial(model="    pass\n")
    assert [5.0] * 6 == record.group_sizes
    assert [] == record.group_classes
    assert {"copy": [0.0] * 1000} == record.baseline_bootstrap
    assert 1000 == len(record.bootstrap_scores)
    assert 0 == record.train_groups
    assert "group_counts" not in capsys.readouterr().err
    assert record == TrialRecord.from_json(record.to_json())


def test_averaged_folds_are_groups_that_count_alike(trial: Callable[..., TrialRecord]) -> None:
    """The groups that are trained on are counted in each fold, and averaged."""
    grouped = """
    def splits(self, fold=0):
        values = torch.rand(12, 5, 2, generator=torch.Generator().manual_seed(fold))
        names = [f"{fold}/{number // (fold - 1)}" for number in range(12)]
        found = [Example(v, v, group=name) for v, name in zip(values, names)]
        return Splits(found[:4], found[4:8], found[8:])
"""
    record = trial(task=FOLDS + grouped)
    assert [1.0, 1.0] == record.group_sizes
    assert (4 + 1) / 2 == record.train_groups
    assert 1000 == len(record.baseline_bootstrap["zero"])


def test_groups_of_metrics_that_do_not_say_their_sizes_are_equal_and_a_line_says_so(
    trial: Callable[..., TrialRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    silent = """
    def metrics(self):
        class Silent(MeanLoss):
            def group_counts(self, metric):
                return None
        return Silent(self, "error")
"""
    assert [1.0] * 6 == trial(task=silent).group_sizes
    assert "task=toy does not say how much each group of the test data" in capsys.readouterr().err


def test_a_model_that_cheats_is_refused(trial: Callable[..., TrialRecord]) -> None:
    with pytest.raises(Refused, match=r"model=odd .* leaks: .* the step that it predicts"):
        trial(model=CHEAT)


def test_a_model_that_needs_storage_and_its_real_size_runs(
    trial: Callable[..., TrialRecord],
) -> None:
    """The check without storage must not refuse what the real constructor accepts."""
    record = trial(
        model="""
    def __init__(self, input_size, context, *, hidden_size: int = 4) -> None:
        super().__init__(input_size, context, hidden_size=hidden_size)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
        if input_size % 2:
            raise ValueError("input_size must be even")
"""
    )
    assert record.status == "FINISHED"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("\n    def prepare(self):\n        raise KeyError('oops')\n",
         r"task=toy \(.*toy.py\): its data failed: KeyError: 'oops'"),
        ("\n    def splits(self, fold=0):\n        return None\n", r"task=toy .*its data failed"),
        ("\n    def output_spec(self, train):\n        return 3\n", r"task=toy.*|model=lstm.*"),
    ],
)  # fmt: skip
def test_a_task_that_breaks_before_the_start_is_named(
    task: str, message: str, trial: Callable[..., TrialRecord]
) -> None:
    with pytest.raises(Refused, match=message):
        trial(task=task)


@pytest.mark.parametrize("value", ["None", "{'zero': []}", "{'zero': ['much'] * len(splits.test)}"])
def test_baselines_that_are_none_fail_the_trial(
    value: str, trial: Callable[..., TrialRecord]
) -> None:
    with pytest.raises(TrialFailed):
        trial(task=f"\n    def baselines(self, splits):\n        return {value}\n")


def test_a_model_whose_constructor_raises_is_named(trial: Callable[..., TrialRecord]) -> None:
    with pytest.raises(Refused, match=r"model=odd \(.*\): its constructor failed: KeyError"):
        trial(
            model="    def __init__(self, input_size, context, *, a: int = 1) -> None:\n"
            "        raise KeyError(a)\n"
        )


def test_the_key_follows_what_decides_the_result(
    trial: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    """Not where the data lie, nor what is shown; seed, recipe, and the model's code do count."""
    first = trial().key
    assert first == trial("trainer.threads=1").key
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.csv").write_text("1,2\n")
    here, there = (trial(f"task.source={tmp_path}/{name}/data.csv") for name in ("here", "there"))
    assert first != here.key == there.key
    others = [trial("seed=1").key, trial("recipe.lr=0.1").key, trial("model=rnn").key]
    assert 4 == len({first, *others})
