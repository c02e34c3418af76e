"""`seqbench evaluate run=ID`: a finished run's model on its task's test split, or on other data."""

from __future__ import annotations

from dataclasses import replace

from seqbench.errors import EXIT_DONE, Refused, did_you_mean


def command(args: list[str]) -> int:
    """Evaluate a run; returns the exit code.

    Args:
        args: ``run=ID``; ``tracking.uri=URI`` and ``task.<parameter>=VALUE`` where wanted.

    Raises:
        Refused: an argument is wrong, or the run is unknown, unfinished or damaged, or its model
            does not fit the data.
    """
    run, uri, overrides = _parse(args)
    from seqbench.reporting.terminal import Evaluation, print_result
    from seqbench.training.scoring import FoldScores, model_rows
    from seqbench.trials.reload import reload
    from seqbench.trials.run import compare, fold_metrics
    from seqbench.trials.trial import new_record

    reloaded = reload(run, uri, overrides)
    stored, trial = reloaded.stored, reloaded.trial
    folds = reloaded.data()
    test = FoldScores(trial.task, trial.task.pooling)
    for data in folds:
        predictor = reloaded.predictor(data)
        data.unseal()
        test.add(model_rows(predictor, data.test()), len(data.splits.test))
    record = replace(
        new_record(trial, predictor),
        status="FINISHED",
        reason="",
        metrics=fold_metrics(trial.task.folds(), test),
        best_epochs=stored.record.best_epochs,
        epochs=stored.record.epochs,
        backend=stored.record.backend,
    )
    compare(record, test, trial.baselines(folds))
    fingerprint = trial.task.fingerprint()
    print_result(record, evaluation=Evaluation(reloaded.name, overrides, fingerprint))
    return EXIT_DONE


def _parse(args: list[str]) -> tuple[str, str | None, list[str]]:
    """Split the arguments into the run, the tracking store and what to change."""
    run, uri, overrides = None, None, []
    for arg in args:
        key, equals, value = arg.partition("=")
        if not (equals and value):
            raise Refused(f"seqbench evaluate: '{arg}' is not KEY=VALUE; see --help")
        if key == "run":
            run = value
        elif key == "tracking.uri":
            uri = value
        elif key == "task.name":
            raise Refused("seqbench evaluate: a run is scored on its own task; leave out task.name")
        elif key.startswith("task."):
            overrides.append(arg)
        else:
            allowed = ("run", "tracking.uri", "task.<parameter>")
            raise Refused(
                f"seqbench evaluate: unknown key '{key}'{did_you_mean(key, allowed)}; "
                f"known: {', '.join(allowed)}"
            )
    if run is None:
        raise Refused("seqbench evaluate: run=ID is missing; `seqbench ui` shows the runs")
    return run, uri, overrides
