"""A finished run's weights scored in a process that never held the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from seqbench.api import Batch
from seqbench.errors import Refused, TrialFailed
from seqbench.tracking.environment import environment, environment_changes
from seqbench.training.fit import selected_weights
from seqbench.training.scoring import FoldScores, Rows, batch_rows
from seqbench.trials.apart import FoldOrder, Order, predict_apart
from seqbench.trials.reload import Note, reload
from seqbench.trials.run import fold_metrics

TOLERANCE = 1e-6
"""The largest relative difference between scores that agree: another processor rounds otherwise."""


@dataclass(frozen=True)
class Isolated:
    """A run's scores, and those of its weights in a process that held inputs only.

    Args:
        name: what a person calls the run.
        scores: each score of test and validation, then and now, by name.
        machine: what of the environment was different, then and now, by name.
    """

    name: str
    scores: Mapping[str, tuple[float, float]]
    machine: Mapping[str, tuple[str, str]]

    @property
    def differences(self) -> dict[str, tuple[float, float]]:
        """The scores that do not agree."""
        return {name: both for name, both in self.scores.items() if not _agree(*both)}


def isolated(run: str, uri: str | None = None, *, note: Note) -> Isolated:
    """Score a run's kept weights, of all folds, in a process that gets inputs and no target.

    Args:
        run: its identifier, or the first digits.
        uri: of the tracking store.
        note: hears what has changed since the run was trained.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or cannot be scored here.
    """
    reloaded = reload(run, uri, all_data=False)
    stored, trial = reloaded.stored, reloaded.trial
    folds = reloaded.data(note)
    orders, answers = [], []
    for data in folds:
        reloaded.predictor(data)  # refuses weights that do not fit
        data.unseal()
        batches = [list(data.valid()), list(data.test())]
        train = data.splits.train
        orders.append(
            FoldOrder(
                trial.settings.of_fold(data.fold).model_parameters,
                trial.task.input_spec(train),
                trial.task.output_spec(train),
                selected_weights(stored.checkpoint_path(reloaded.matched[data.fold])),
                [batch.inputs for split in batches for batch in split],
            )
        )
        answers.append(batches)
    settings = trial.settings
    try:
        found = predict_apart(
            Order(settings.model, trial.task.visibility, settings.trainer, orders)
        )
    except TrialFailed as failed:
        raise Refused(f"{reloaded.name}: {failed}") from failed
    valid = FoldScores(trial.task, "folds", trial.metrics)
    test = FoldScores(trial.task, trial.task.pooling, trial.metrics)
    for data, predictions, (of_valid, of_test) in zip(folds, found, answers, strict=True):
        count = len(of_valid)
        valid.add(_rows(predictions[:count], of_valid), len(data.splits.valid))
        test.add(_rows(predictions[count:], of_test), len(data.splits.test))
    matched = [reloaded.matched[data.fold] for data in folds]
    now = fold_metrics(matched, test)
    now |= {f"valid/{name}": value for name, value in valid.compute().items()}
    then = stored.record.metrics
    scores = {name: (value, now.get(name, math.nan)) for name, value in then.items()}
    machine = environment_changes(stored.record.environment, environment())
    return Isolated(reloaded.name, scores, machine)


def _rows(predictions: Sequence[Tensor], batches: Sequence[Batch]) -> Iterator[Rows]:
    """Yield the predictions that count, beside the targets that only this process has."""
    first = 0
    for found, batch in zip(predictions, batches, strict=True):
        yield batch_rows(found, batch, first)
        first += len(batch.target_mask)


def _agree(then: float, now: float) -> bool:
    if math.isnan(then) or math.isnan(now):
        return math.isnan(then) and math.isnan(now)
    return then == now or math.isclose(then, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
