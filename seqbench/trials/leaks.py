"""Whether a model uses what it may not see: a look before training, and the audit after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqbench.errors import Refused, SeqbenchError, TrialFailed
from seqbench.registry.registration import BUILT_IN, one_line
from seqbench.trials.trial import Trial
from seqbench.trials.undisturbed import undisturbed

if TYPE_CHECKING:
    import torch

    from seqbench.records import TrialRecord
    from seqbench.training.data import TrialData
    from seqbench.training.predictor import Predictor
    from seqbench.training.scoring import Rows


def check_plugin(trial: Trial, data: TrialData) -> None:
    """Refuse a plugin's model whose predictions see what the task hides, before it is trained.

    It is looked at twice: every step of a few short sequences, with random weights, and some steps
    of whole ones, with its initial weights. That is done in float64, where rounding hides nothing,
    or in float32 if the model runs in nothing else. Built-in models are proven by the project's own
    tests, over every task and depth.

    Raises:
        Refused: a prediction depends on what it must not see, or nobody can look.
    """
    if trial.model_registration.origin == BUILT_IN:
        return
    import torch

    failures = []
    for dtype in (torch.float64, torch.float32):
        try:
            with undisturbed():
                _look(trial, data, dtype)
        except SeqbenchError:
            raise
        except (Exception, SystemExit) as error:
            failures.append(error)
        else:
            return
    who = f"model={trial.settings.model} ({trial.model_registration.origin})"
    raise Refused(
        f"{who} cannot be checked for leaks: on a CPU, in float32, it raises "
        f"{one_line(failures[-1]):.120}; make it run there; `seqbench check` shows more"
    ) from failures[-1]


def _look(trial: Trial, data: TrialData, dtype: torch.dtype) -> None:
    """Look at a model of one precision.

    Raises:
        Refused: it leaks, or its predictions are random or not finite.
        Exception: whatever it raises.
    """
    from seqbench.testing import ConformanceError, check_visibility, make_predictor, small_batch
    from seqbench.training.audit import audit

    task, train = trial.task, data.splits.train
    settings = trial.settings
    who = f"model={settings.model} ({trial.model_registration.origin})"
    initial = trial.predictor(data).to("cpu", dtype)
    found = audit(initial, train, settings.seed, settings.recipe.batch_size)
    if found.status == "failed":
        raise Refused(f"{who} leaks: {found.reason}")
    if found.status != "passed":
        raise Refused(f"{who} cannot be checked for leaks: before training, {found.reason}")
    specs = task.input_spec(train), task.output_spec(train)
    model = trial.model_class, settings.of_fold(data.fold).model_parameters
    random = make_predictor(*model, *specs, task.visibility, dtype)
    try:
        check_visibility(random, small_batch(task, train, dtype=dtype).inputs, dependence=False)
    except ConformanceError as error:
        raise Refused(f"{who} leaks: {error}") from error


def audit_fold(
    trial: Trial,
    predictor: Predictor,
    data: TrialData,
    scored: Sequence[Rows],
    record: TrialRecord,
) -> None:
    """Audit a fold's trained predictor on the test data on which it was scored.

    Args:
        trial: whose model it is.
        predictor: trained and scored.
        data: of the fold, unsealed.
        scored: the test split's predictions.
        record: of the trial; it gets what was found. What could not be audited in one fold stays.

    Raises:
        TrialFailed: a prediction depends on what it must not see.
    """
    from seqbench.training.audit import Audit, audit
    from seqbench.training.limits import out_of_memory

    recipe, limits = trial.settings.recipe, trial.settings.limits
    first = data.fold == record.folds[0]
    try:
        with undisturbed():
            found = audit(
                predictor, data.splits.test, trial.settings.seed, recipe.batch_size, scored, first
            )
    except SeqbenchError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and out_of_memory(error, limits) is not None:
            raise
        found = Audit("not possible", f"the model raised {one_line(error):.150}")
    if len(record.folds) > 1 and found.reason:
        found = found._replace(reason=f"fold {record.fold_name(data.fold)}: {found.reason}")
    if not record.audit or record.audit == "passed":
        record.audit = str(found)
    if found.status == "failed":
        record.audit = str(found)
        raise TrialFailed(f"the audit of the trained model {found}")
