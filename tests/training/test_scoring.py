"""Scores over splits and folds: pooled or averaged, alike for models and baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from seqbench.api import (
    Batch,
    Example,
    GroupCounts,
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    SequenceInput,
    Splits,
    Task,
    Visibility,
    collate,
)
from seqbench.api.resampling import resamples
from seqbench.plugins.lstm import LSTM
from seqbench.testing import make_predictor
from seqbench.training.scoring import (
    FoldScores,
    Rows,
    baseline_rows,
    batch_rows,
    model_rows,
    score_baselines,
)


class Counts(MetricSet):
    """Mean prediction, how many rows, and the sequences they are of."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.sequences: list[int] = []

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        assert len(predictions) == len(targets) == len(sequences)
        self.values.append(predictions[:, 0])
        self.sequences += sequences.tolist()

    def compute(self) -> dict[str, float]:
        return {"mean": float(torch.cat(self.values).mean()), "sequences": len(set(self.sequences))}

    def group_counts(self, metric: str) -> GroupCounts:
        return GroupCounts.of([self.sequences.count(number) for number in set(self.sequences)])

    def bootstrap_scores(self) -> dict[str, list[float]]:
        return {"mean": [self.compute()["mean"] + change for change in (-1.0, 0.0, 1.0)]}


class Twofold(Task):
    """Sequences whose values say which fold and sequence they are; step 0 does not count."""

    version = "1"
    visibility = Visibility.ONLINE
    monitor = primary = Metric("mean", "max")
    citation = licence = ""
    sizes: dict[str, str] = {}
    metric_help: dict[str, str] = {}

    def prepare(self) -> None:
        pass

    def folds(self) -> tuple[int, ...]:
        return (0, 1)

    def splits(self, fold: int = 0) -> Splits:
        examples = []
        for index in range(3 + fold):
            values = torch.full((2 + index, 1), float(10 * fold + index))
            mask = torch.arange(len(values)) > 0
            examples.append(Example(values, values[:, 0], mask))
        return Splits(examples, examples, examples)

    def fingerprint(self) -> str:
        return "twofold"

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        return InputSpec(1)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        return OutputSpec(1)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions[:, 0] - targets).square()

    def metrics(self) -> MetricSet:
        return Counts()

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        return {"copy": [example.values for example in splits.test]}


def scores_of(pooling: str) -> FoldScores:
    task = Twofold()
    task.pooling = pooling  # type: ignore[misc]
    tests = [task.splits(fold).test for fold in task.folds()]
    found = score_baselines(task, [task.baselines(task.splits(fold)) for fold in (0, 1)], tests)
    return found["copy"]


# fold 0 counts the values 0; 1, 1; 2, 2, 2 and fold 1 counts 10; 11 x 2; 12 x 3; 13 x 4
MEANS = (8 / 6, 120 / 10)


def test_folds_are_averaged_where_the_task_says_so() -> None:
    scores = scores_of("folds")
    assert [pytest.approx(mean) for mean in MEANS] == [fold["mean"] for fold in scores.by_fold]
    assert pytest.approx(sum(MEANS) / 2) == scores.compute()["mean"]


def test_where_folds_are_averaged_folds_are_drawn() -> None:
    """The mean of two folds drawn again is the one's, the other's, or that of both."""
    scores = scores_of("folds")
    low, high = MEANS
    drawn = set(np.round(scores.bootstrap_scores["mean"], 6))
    assert {round(value, 6) for value in (low, (low + high) / 2, high)} == drawn
    assert {"mean": pytest.approx((low, high)), "sequences": (3, 4)} == scores.intervals()


def test_predictions_of_all_folds_are_scored_together() -> None:
    """Sequences of different folds keep numbers of their own."""
    scores = scores_of("predictions")
    assert {"mean": pytest.approx(128 / 16), "sequences": 7} == scores.compute()
    assert {"mean": pytest.approx((7.05, 8.95))} == scores.intervals()


def test_intervals_of_a_difference_are_paired() -> None:
    """Draw by draw one is subtracted from the other, whatever their own spread."""
    scores = scores_of("predictions")
    assert {"mean": (0.0, 0.0)} == scores.intervals(scores)


def test_a_mean_loss_draws_whole_sequences() -> None:
    """Each replicate is the mean over the rows of sequences drawn again, row by row."""
    sequences = torch.tensor([0, 0, 0, 1, 2, 2])
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    loss = MeanLoss(Twofold(), "loss")
    for part in (slice(0, 2), slice(2, 6)):  # a sequence's rows may come in two batches
        loss.update(values[part].sqrt()[:, None], torch.zeros(4)[: len(values[part])],
                    sequences[part])  # fmt: skip
    counts = np.concatenate(list(resamples(3)))
    rows = counts[:, sequences.numpy()]
    expected = (rows @ values.double().numpy()) / rows.sum(axis=1)
    assert expected == pytest.approx(loss.bootstrap_scores()["loss"], rel=1e-6)
    assert {} == MeanLoss(Twofold(), "loss").bootstrap_scores()


def test_a_mean_loss_says_how_many_rows_each_sequence_has() -> None:
    """In rising order, of whichever batches they came in."""
    loss = MeanLoss(Twofold(), "loss")
    for numbers in ([0, 0, 0, 1], [1, 1, 1, 2]):
        loss.update(torch.zeros(4, 1), torch.zeros(4), torch.tensor(numbers))
    assert GroupCounts((1.0, 3.0, 4.0)) == loss.group_counts("loss")
    assert loss.group_counts("other") is None


@pytest.mark.parametrize(
    ("pooling", "sizes"),
    [("predictions", (1, 1, 2, 2, 3, 3, 4)), ("folds", (1, 1))],
)
def test_groups_of_several_folds(pooling: str, sizes: tuple[int, ...]) -> None:
    """Pooled predictions have the groups of all folds; averaged folds are the groups, alike."""
    assert GroupCounts(tuple(map(float, sizes))) == scores_of(pooling).group_counts("mean")


def test_model_and_baseline_rows_are_the_same() -> None:
    """A model's rows are those of its predictions given as a baseline's, batch by batch."""
    task = Twofold()
    examples = task.splits(1).test
    predictor = make_predictor(
        LSTM, {"hidden_size": 3}, InputSpec(1), OutputSpec(1), task.visibility
    )
    predictor.float()
    batches = [collate(list(examples[:3]), True), collate(list(examples[3:]), True)]
    by_model = [torch.cat(parts) for parts in zip(*model_rows(predictor, batches), strict=True)]
    with torch.no_grad():
        given = [
            predictor(SequenceInput(example.values[None], torch.tensor([len(example.values)])))[0]
            for example in examples
        ]
    as_baseline = [torch.cat(parts) for parts in zip(*baseline_rows(given, examples), strict=True)]
    assert [0, 1, 1, 2, 2, 2, 3, 3, 3, 3] == by_model[2].tolist()
    for one, two in zip(by_model, as_baseline, strict=True):
        torch.testing.assert_close(one, two)


def test_labels_of_sequences_are_one_row_each() -> None:
    examples = [Example(torch.zeros(3, 1), torch.tensor(float(index))) for index in range(2)]
    rows = list(baseline_rows([torch.tensor([0.5]), torch.tensor([1.5])], examples))
    assert [0.5, 1.5] == [row.predictions.item() for row in rows]
    assert [[0.0], [1.0]] == [row.targets.tolist() for row in rows]
    batch = collate(examples, False)
    assert [5, 6] == batch_rows(torch.zeros(2, 1), batch, 5).sequences.tolist()


@pytest.mark.parametrize("lengths", [(2,), (2, 4)])
def test_predictions_that_do_not_fit_are_refused(lengths: tuple[int, ...]) -> None:
    examples = [Example(torch.zeros(length, 1), torch.zeros(length)) for length in (2, 3)]
    with pytest.raises(ValueError, match=r"4 predictions for a sequence of 3 steps|is longer"):
        list(baseline_rows([torch.zeros(length, 1) for length in lengths], examples))


def test_the_mode_of_a_model_is_left_as_it_was() -> None:
    task = Twofold()
    predictor = make_predictor(
        LSTM, {"hidden_size": 3}, InputSpec(1), OutputSpec(1), task.visibility
    )
    predictor.float().train()
    batch: Batch = collate(list(task.splits().test), True)
    assert all(isinstance(rows, Rows) for rows in model_rows(predictor, [batch]))
    assert predictor.training
