"""A finished run's model scored again: on its task's test split, or on other data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from seqbench.config.command import kept_words
from seqbench.records import TrialRecord
from seqbench.reporting.terminal import Evaluation
from seqbench.training.backend import observe_backend
from seqbench.training.scoring import FoldScores, model_rows
from seqbench.trials.reload import AUTO, Note, reload
from seqbench.trials.run import compare, fold_metrics
from seqbench.trials.trial import new_record


class Evaluated(NamedTuple):
    """The scores of a stored model, as a trial's record has them, and what it was scored on."""

    record: TrialRecord
    evaluation: Evaluation


def evaluate(
    run: str,
    uri: str | None = None,
    overrides: Sequence[str] = (),
    parameters: Mapping[str, object] | None = None,
    *,
    accelerator: str = AUTO,
    note: Note,
) -> Evaluated:
    """Score a run's models, one of each fold, beside the task's baselines; nothing is logged.

    Args:
        run: its identifier, or the first digits.
        uri: of the tracking store.
        overrides: ``task.<parameter>=VALUE`` to change, for example the source of the data.
        parameters: the same by name and value.
        accelerator: where to compute, see :func:`seqbench.trials.reload.reload`.
        note: hears what has changed since the run was trained.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or its model does not fit the data, or
            there is no such device.
    """
    reloaded = reload(run, uri, overrides, parameters, accelerator)
    stored, trial = reloaded.stored, reloaded.trial
    folds = reloaded.data(note)
    test = FoldScores(trial.task, trial.task.pooling, trial.metrics)
    for data in folds:
        predictor = reloaded.predictor(data)
        data.unseal()
        test.add(model_rows(predictor, data.test()), len(data.splits.test))
    best = dict(zip(stored.record.folds, stored.record.best_epochs, strict=False))
    record = replace(
        new_record(trial, predictor),
        status="FINISHED",
        reason="",
        metrics=fold_metrics(list(trial.names), test),
        best_epochs=[best[fold] for fold in reloaded.matched.values() if fold in best],
        epochs=stored.record.epochs,
        train_groups=stored.record.train_groups,
        backend=observe_backend(predictor, next(iter(data.test()))),
    )
    compare(record, test, trial.baselines(folds, predictor.context), folds)
    fingerprint = trial.task.fingerprint()
    tracking = replace(trial.settings.tracking, uri=uri)
    kept = kept_words(trial.settings, tracking)
    return Evaluated(record, Evaluation(reloaded.name, reloaded.overrides, fingerprint, kept))
