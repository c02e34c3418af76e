"""A trained model at hand: it predicts, it is scored, and where it can it reads step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from seqbench.api import SequenceInput, Visibility
from seqbench.errors import Refused, did_you_mean
from seqbench.records import DataNames, some
from seqbench.training.data import TrialData
from seqbench.training.predictor import Predictor
from seqbench.training.scoring import FoldScores, model_rows
from seqbench.training.streaming import States, Stream, streams
from seqbench.trials.names import arranged, find_fold
from seqbench.trials.reload import AUTO, Note, Reloaded, reload

_SHOWN = 20  # names of folds in a message


class TrainedModel(ABC):
    """The model of a finished run, with the weights of its selected epoch.

    It is a :class:`SequenceModel`, or a :class:`StreamingModel` where it can read step by step.

    Args:
        reloaded: the run.
        data: of the fold on which it was trained.
        predictor: the model between input scaling and head.
        note: hears what has changed since the run was trained.
    """

    def __init__(
        self, reloaded: Reloaded, data: TrialData, predictor: Predictor, note: Note
    ) -> None:
        self._reloaded = reloaded
        self._data = data
        self._predictor = predictor.eval()
        self._note = note
        spec = reloaded.trial.task.input_spec(data.splits.train)
        self._missing, self._static = spec.missing, spec.static_size
        self.run = reloaded.stored.run_id
        """Identifier of the run."""
        self.task = reloaded.trial.settings.task
        """Name of the task."""
        self.model = reloaded.trial.settings.model
        """Name of the model."""
        record = reloaded.stored.record
        self.fold = reloaded.matched[data.fold]
        """Number of the fold on which it was trained; 0 where the task has one."""
        self.fold_name = record.fold_name(self.fold)
        """Its name: a file, a speaker; its number where it has none."""
        self.names = record.names.get(self.fold, DataNames())
        """What its columns and classes are called; empty for runs that kept no names."""
        self.features = spec.size
        """F, how many numbers a step has."""
        self.visibility = predictor.visibility
        """What a prediction sees, see :class:`seqbench.api.Visibility`."""

    @abstractmethod
    def __str__(self) -> str:
        """Return in a line which model it is, and what it can do."""

    def predict(
        self,
        values: Any,
        lengths: Any = None,
        *,
        observed: Any = None,
        delta: Any = None,
        static: Any = None,
    ) -> Tensor:
        """Return what the task's head says of whole sequences, on the CPU in float32.

        Args:
            values: one sequence ``[T, F]``, or several padded ones ``[B, T, F]``: an array, a
                tensor or nested lists, in the task's own units (scaling is the model's affair). A
                pandas DataFrame ``[T, F]`` is read by the names of its columns, in any order.
            lengths: ``[B]`` whole numbers, real steps of each sequence; None: all T.
            observed: like ``values``, bool: what was measured. Needed where the task has missing
                values, as is ``delta``.
            delta: like ``values``: time since the feature was measured last.
            static: ``[S]`` or ``[B, S]``, where the task has features of the whole sequence.

        Returns:
            ``[K]`` or ``[B, K]`` where the task labels sequences; otherwise ``[T, K]`` or
            ``[B, T, K]``, zero at padding. On a ``next`` task row t is the prediction of step t
            from the steps before it. They are the numbers that the task's loss takes: logits,
            for example.

        Raises:
            Refused: a shape or a number is impossible, something that the task needs is missing, or
                a column is missing or new.
        """
        inputs, alone = self._inputs(values, lengths, observed, delta, static)
        with torch.inference_mode():
            found: Tensor = self._predictor(inputs.to(self._predictor.device)).float().cpu()
        if self.visibility is not Visibility.SEQUENCE:
            found = found.masked_fill(~inputs.mask[..., None], 0.0)
        return found[0] if alone else found

    def score(self, **parameters: object) -> dict[str, float]:
        """Return the task's metrics by name on the test split of this model's fold.

        Args:
            parameters: of the task to change, for example ``source="my_rolls.pkl"``: the model is
                then scored on the test split of those data.

        Raises:
            Refused: a parameter is wrong, or the model does not fit the data.
        """
        data, predictor = self._data, self._predictor
        trial = self._reloaded.trial
        if parameters:
            stored = self._reloaded.stored
            uri, accelerator = self._reloaded.uri, self._reloaded.accelerator
            other = reload(stored.run_id, uri, parameters=parameters, accelerator=accelerator)
            data = _fold(other, self.fold, self._note)
            predictor, trial = other.predictor(data).eval(), other.trial
        data.unseal()
        scores = FoldScores(trial.task, trial.task.pooling, trial.metrics)
        scores.add(model_rows(predictor, data.test()), len(data.splits.test))
        return scores.compute()

    def _inputs(
        self, values: Any, lengths: Any, observed: Any, delta: Any, static: Any
    ) -> tuple[SequenceInput, bool]:
        """Return checked inputs as a batch, and whether one sequence was given alone."""
        static = arranged("static", static, self.names.static, self._static, is_row=True)
        values, observed, delta = (
            arranged(name, item, self.names.inputs, self.features)
            for name, item in (("values", values), ("observed", observed), ("delta", delta))
        )
        values = _tensor("values", values)
        alone = values.dim() == 2
        values = values[None] if alone else values
        if values.dim() != 3 or values.shape[2] != self.features or 0 in values.shape:
            raise Refused(
                f"values must be [T, F] or [B, T, F] with F = {self.features} for task={self.task},"
                f" not {list(values.shape[1:] if alone else values.shape)}"
            )
        batch, steps, _ = values.shape
        if lengths is None:
            counts = torch.full((batch,), steps)
        else:
            counts = _tensor("lengths", lengths).long().reshape(-1)
            if counts.shape != (batch,) or counts.min() < 1 or counts.max() > steps:
                raise Refused(
                    f"lengths must be {batch} whole numbers from 1 to {steps}, not {lengths}"
                )
        given = {"observed": observed, "delta": delta, "static": static}
        needed = {"observed": self._missing, "delta": self._missing, "static": self._static > 0}
        for name, is_needed in needed.items():
            if is_needed and given[name] is None:
                raise Refused(f"task={self.task} needs {name}= too")
            if not is_needed and given[name] is not None:
                raise Refused(f"task={self.task} takes no {name}=")
        inputs = SequenceInput(values, counts)
        mask = inputs.mask[..., None]
        if self._missing:
            shape = tuple(values.shape)
            seen = _shaped("observed", observed, shape).bool() & mask
            elapsed = _shaped("delta", delta, shape).masked_fill(~mask, 0.0)
            inputs = SequenceInput(values, counts, seen, elapsed)
        if self._static:
            whole = _shaped("static", static, (batch, self._static))
            inputs = SequenceInput(values, counts, inputs.observed, inputs.delta, whole)
        values = values.masked_fill(~mask, 0.0)
        if not bool(values.isfinite().all()):
            raise Refused("values must be finite numbers at every real step")
        return inputs.with_values(values), alone


@final
class SequenceModel(TrainedModel):
    """A model that reads whole sequences: backwards too, or by attending to earlier steps."""

    def __str__(self) -> str:
        """Return in a line which model it is, and what it can do."""
        return f"model={self.model} of {self._reloaded.name}, task={self.task}: whole sequences"


@final
class StreamingModel(TrainedModel):
    """A model that reads forwards and remembers its cells' states alone: it can go step by step."""

    def __str__(self) -> str:
        """Return in a line which model it is, and what it can do."""
        known = f"model={self.model} of {self._reloaded.name}, task={self.task}"
        return f"{known}: whole sequences, and step by step"

    @cached_property
    def _stream(self) -> Stream:
        return Stream(self._predictor)

    def step(
        self,
        x: Any,
        state: States | None = None,
        *,
        observed: Any = None,
        delta: Any = None,
        static: Any = None,
    ) -> tuple[Tensor, States]:
        """Read one more step.

        Args:
            x: the step's values, ``[F]`` of one sequence or ``[B, F]`` of several; of a pandas
                Series or DataFrame by name.
            state: what the step before returned; None before the first.
            observed: like ``x``, bool, where the task has missing values.
            delta: like ``x``, likewise.
            static: ``[S]`` or ``[B, S]``, where the task has features of the whole sequence.

        Returns:
            The head's prediction, ``[K]`` or ``[B, K]``, and the state to go on from: of each
            layer the cell's states, ``[B, H]`` each. The prediction is the row of :meth:`predict`
            of this step; on a ``next`` task that of the step after it, for which this one was
            read; where the task labels sequences, the label if the sequence ended here.

        Raises:
            Refused: a shape or a number is impossible, or the state is of other sequences.
        """
        values, *others = (
            arranged(name, item, self.names.inputs, self.features, is_row=True)
            for name, item in (("x", x), ("observed", observed), ("delta", delta))
        )
        values = _tensor("x", values)
        alone = values.dim() == 1
        rows = [_as_step(item, alone) for item in (values, *others)]
        inputs, _ = self._inputs(rows[0], None, rows[1], rows[2], static)
        batch = len(inputs.values)
        if state is None:
            state = self._stream.initial_states(batch)
        elif any(len(part) != batch for layer in state for part in layer):
            raise Refused(f"state is not of {batch} sequences, as x is")
        found, state = self._stream.step(inputs.to(self._predictor.device), state)
        found = found.float().cpu()
        return found[0] if alone else found, state


def load_model(
    run: str,
    fold: int | str | None = None,
    uri: str | None = None,
    *,
    accelerator: str = AUTO,
    note: Note,
) -> SequenceModel | StreamingModel:
    """Load a finished run's model.

    Args:
        run: its identifier, or the first digits.
        fold: whose model, by its number or its name; None: the only one.
        uri: of the tracking store.
        accelerator: where it is to compute, see :func:`seqbench.trials.reload.reload`.
        note: hears what has changed since the run was trained.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or has several folds or not this one; or
            there is no such device.
    """
    reloaded = reload(run, uri, accelerator=accelerator)
    record = reloaded.stored.record
    known = [record.fold_name(item) for item in record.folds]
    listing = ", ".join(some(known, _SHOWN, "... and {} more"))
    if fold is None and len(known) > 1:
        raise Refused(f"{reloaded.name} has a model for each fold: choose fold= of {listing}")
    chosen = record.folds[0] if fold is None else find_fold(record, fold)
    if chosen is None:
        hint = did_you_mean(str(fold), known)
        raise Refused(f"{reloaded.name} has no model for fold {fold}{hint}; it has: {listing}")
    data = _fold(reloaded, chosen, note)
    predictor = reloaded.predictor(data)
    kind = StreamingModel if streams(predictor) else SequenceModel
    return kind(reloaded, data, predictor, note)


def _fold(reloaded: Reloaded, chosen: int, note: Note) -> TrialData:
    """Return the data of one of a run's folds.

    Raises:
        Refused: the data have no such fold, or do not fit the model.
    """
    for data in reloaded.data(note):
        if reloaded.matched[data.fold] == chosen:
            return data
    name = reloaded.stored.record.fold_name(chosen)
    raise Refused(f"{reloaded.name}: these data have no fold {name}, of which its model is")


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise Refused(f"{name} must be an array of numbers: {reason}") from error


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    found = _tensor(name, value)
    found = found[None] if found.dim() == len(shape) - 1 else found
    if tuple(found.shape) != shape:
        raise Refused(f"{name} must be {list(shape)}, not {list(found.shape)}")
    return found


def _as_step(value: Any, alone: bool) -> Any:
    """Return ``[F]`` as ``[1, F]``, one sequence of one step; ``[B, F]`` as ``[B, 1, F]``."""
    if value is None:
        return None
    found = _tensor("a step", value)
    return found[None] if alone else found[:, None] if found.dim() == 2 else found
