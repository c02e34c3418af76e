"""The audit: does a predictor use what it may not see? It looks at what is scored.

A predictor is run as it is scored on whole sequences of the test split. Then what it may not see
is changed: the steps that are hidden from a prediction, the length where it is hidden, padding, the
other sequences of its batch, and what was predicted before. A prediction that changes by more than
rounding can explain has seen it.

How much rounding explains is measured on the same predictor, for each step, since a chaotic model
makes much of little: padding and the batch are changed, which every predictor may feel by rounding
alone, and before anything is said to be found, values are moved by some units in their last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seqbench.api import Example, SequenceInput, Visibility, collate_inputs
from seqbench.training import probes
from seqbench.training.predictor import Predictor
from seqbench.training.probes import Cut, Cuts, Hidden
from seqbench.training.scoring import Rows, as_scored, predict
from seqbench.training.seeds import derive, seed_all

SEQUENCES = 32
"""Sequences that are looked at, or all: some of the longest, of the shortest, and at random."""
LONGEST, SHORTEST = 8, 4
FLOOR = 1e-5
"""The smallest change that counts, relative to the spread of the predictions."""
RESOLUTION = 16.0
"""The smallest change that counts, in units in the last place of the largest prediction."""
JITTER = 16.0
"""How far values are moved to measure rounding, in units in the last place: more than rounding."""
MARGIN = 4.0
"""How many times the largest change measured as rounding a change must be."""
PADDING = 5
"""Padded steps that are added."""
CHANGES = {"replaced": 3, "noise": 2, "cut": 3, "length": 2, "new": 1}
"""Cuts of each sequence whose hidden steps become another sequence's or noise, or end there.

That is of the first fold; of others see :data:`FEWER`.

The new ones are replaced, too, in sequences whose values are moved in their last place: what a
model has kept of the one that it knows does not answer for it.
"""
FEWER = ("noise", "cut", "new")
"""Cuts of each sequence in further folds, whose model has the same code."""
_STEPS_AT_ONCE = 4096  # of a small batch: sequences are looked at together up to this many

Status = Literal["passed", "failed", "not possible"]


class Audit(NamedTuple):
    """What an audit found.

    Args:
        status: whether it was made, and passed.
        reason: what was seen, or why it could not be made; empty if it passed.
    """

    status: Status
    reason: str = ""

    def __str__(self) -> str:
        """Return it as a record has it."""
        return f"{self.status}: {self.reason}" if self.reason else self.status


def audit(
    predictor: Predictor,
    examples: Sequence[Example],
    seed: int,
    batch_size: int,
    scored: Iterable[Rows] | None = None,
    thorough: bool = True,
) -> Audit:
    """Look whether predictions change when what they may not see changes.

    Args:
        predictor: on its device, in the precision in which it is scored.
        examples: the split that is scored, whole sequences.
        seed: of the trial; decides which sequences and steps are looked at.
        batch_size: sequences in a batch.
        scored: the predictions of the split that were scored; the audit's must be the same.
        thorough: False for further folds of a model, where sequences are cut fewer times.

    Returns:
        ``passed``, ``failed`` with what was seen, or ``not possible`` for a predictor whose
        predictions are random or not finite.
    """
    try:
        with as_scored(predictor):
            return _Auditor(predictor, examples, seed, batch_size).look(scored, thorough)
    except _Found as found:
        return found.audit


class _Found(Exception):  # noqa: N818 - it ends the audit, and is no error
    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.audit = Audit(status, reason)


@dataclass
class _Part:
    """A batch of the audit: its inputs, its rows in the pool, and what was predicted at first."""

    inputs: SequenceInput
    rows: Tensor
    expected: Tensor


class _Auditor:
    """One audit; it ends by :class:`_Found` unless nothing is found."""

    def __init__(
        self, predictor: Predictor, examples: Sequence[Example], seed: int, batch_size: int
    ) -> None:
        self._predictor = predictor
        self._examples = examples
        self._generator = torch.Generator().manual_seed(derive(seed, "audit"))
        lengths = [len(example.values) for example in examples]
        self._chosen = probes.choose(lengths, LONGEST, SHORTEST, SEQUENCES, self._generator)
        pool = collate_inputs([examples[index] for index in self._chosen])
        pool = probes.as_dtype(pool, predictor.head.weight.dtype)
        self._pool = pool.to(predictor.device)
        self._labels_sequences = predictor.visibility is Visibility.SEQUENCE
        self._one_sided = predictor.context == "past"
        count, longest = pool.mask.shape
        size = min(max(batch_size, _STEPS_AT_ONCE // longest, 2), SEQUENCES)
        self._parts = []
        for rows in torch.split(torch.arange(count), size):
            inputs = probes.rows_of(self._pool, rows)
            self._parts.append(_Part(inputs, rows, self._predict(inputs)))
        self._dtype = self._parts[0].expected.dtype
        self._noise = torch.zeros(longest, device=predictor.device, dtype=self._dtype)
        self._least = self._smallest_change()
        self._measured = False

    def look(self, scored: Iterable[Rows] | None, thorough: bool) -> Audit:
        """Return that nothing was found, or raise :class:`_Found`."""
        self._check_repeats()
        self._check_batch(thorough)
        if scored is not None:
            self._check_scored(scored)
        if thorough:  # the same code in every fold
            self._check_modes()
        if self._predictor.context != "all":
            self._check_hidden(thorough)
        for part in self._parts:
            self._check_again(part, " after other batches")
        return Audit("passed")

    def _predict(self, inputs: SequenceInput, seed: int = 0) -> Tensor:
        """Return predictions as they are scored ``[B, T, K]``; T is 1 for labels of sequences."""
        seed_all(seed, self._predictor.device)
        return self._as_steps(predict(self._predictor, inputs))

    def _as_steps(self, predictions: Tensor) -> Tensor:
        return predictions[:, None] if self._labels_sequences else predictions

    def _mask(self, inputs: SequenceInput) -> Tensor:
        """Return which predictions there are, ``[B, T]``."""
        return inputs.mask[:, :1] if self._labels_sequences else inputs.mask

    def _smallest_change(self) -> float:
        """Return the smallest change that counts, in the unit of the predictions."""
        found = [part.expected[self._mask(part.inputs)] for part in self._parts]
        every = torch.cat(found).double()
        if not bool(every.isfinite().all()):
            raise _Found("not possible", "its predictions are not all finite")
        spread = float(every.var(0, unbiased=False).mean().sqrt())
        resolution = torch.finfo(self._dtype).eps * float(every.abs().max())
        return max(FLOOR * spread, RESOLUTION * resolution, torch.finfo(self._dtype).tiny)

    def _check_repeats(self) -> None:
        """Find predictors that are random, or that keep something from call to call."""
        part = self._parts[0]
        again = self._change(part.expected, self._predict(part.inputs, seed=1))
        if float(again.max()) <= self._least:
            return
        self._check_again(part, "")
        self._measure_rounding()
        if bool((again > self._limits(again)).any()):
            by = f"called again, they changed by {float(again.max()):.1e}"
            raise _Found("not possible", f"its predictions are random: {by}")

    def _check_again(self, part: _Part, after: str) -> None:
        """Predict the same once more: a CPU must do it to the bit, a GPU may round otherwise."""
        change = self._change(part.expected, self._predict(part.inputs))
        if self._predictor.device.type == "cpu":
            change = change.masked_fill(change > self._least, torch.inf)
        text = f"when it was predicted again{after}: the model keeps something from call to call"
        self._judge(change, text, self._mask(part.inputs))

    def _measure_rounding(self) -> None:
        """Move all values a little, and see by how much predictions change; once."""
        if self._measured:
            return
        self._measured = True
        for part in self._parts:
            last = self._predict(self._jittered(part.inputs, JITTER))
            for _ in range(_DRAWS):
                moved = self._predict(self._jittered(part.inputs, JITTER))
                self._count_as_rounding(self._change(last, moved), part)
                last = moved

    def _jittered(self, inputs: SequenceInput, units: float) -> SequenceInput:
        size = units * probes.last_place(self._dtype, self._predictor.device)
        return probes.jittered(inputs, size, self._predictor.input_std, self._generator)

    def _count_as_rounding(self, change: Tensor, part: _Part) -> None:
        found = change.masked_fill(~self._mask(part.inputs)[:, : change.shape[1]], 0.0).amax(0)
        self._noise[: len(found)] = torch.maximum(self._noise[: len(found)], found)

    def _limits(self, change: Tensor) -> Tensor:
        """Return which change each step may show ``[T]``: later ones more, if it grows in time."""
        grown = self._noise.cummax(0).values if self._one_sided else self._noise.max().expand(
            len(self._noise)
        )  # fmt: skip
        return (MARGIN * grown).clamp(min=self._least)[: change.shape[1]]

    def _change(self, expected: Tensor, found: Tensor, lenient: bool = False) -> Tensor:
        """Return the largest change of each prediction ``[B, T]``, of the steps that both have.

        Args:
            expected: predictions ``[B, T, K]``.
            found: after a change.
            lenient: whether a prediction that is no longer finite counts as unchanged: noise can
                overflow in what is then multiplied by zero.
        """
        steps = min(expected.shape[1], found.shape[1])
        change = (found[:, :steps] - expected[:, :steps]).abs().amax(-1)
        return change.nan_to_num(0.0, 0.0) if lenient else change.nan_to_num(torch.inf)

    def _judge(self, change: Tensor, what: str, mask: Tensor, cut: Cut | None = None) -> None:
        """Raise what was found, if a change is larger than rounding explains.

        Args:
            change: ``[B, T]``.
            what: was changed; with a cut it has ``{step}`` to be filled in.
            mask: ``[B, T]``, the predictions that must not change.
            cut: of the hidden steps.
        """
        change = change.masked_fill(~mask[:, : change.shape[1]], 0.0)
        if not bool((change > self._limits(change)).any()):
            return
        self._measure_rounding()
        bad = (change > self._limits(change)).nonzero().cpu()
        if not len(bad):
            return
        rows, steps = bad.T
        if cut is None:
            row, step = (int(item) for item in bad[0])
            seen = ""
        else:
            ahead = cut.steps[rows] - steps
            worst = int(ahead.argmax())
            row, step = (int(item) for item in bad[worst])
            seen = self._sight(int(ahead[worst]))
        place = "a prediction" if self._labels_sequences else f"the prediction of step {step}"
        if cut is not None:
            what = what.format(step=int(cut.steps[row]))
        by = float(change[row, step])
        size = f" by {by:.1e}" if math.isfinite(by) else ""
        raise _Found("failed", f"{place} changed{size} {what}{seen}")

    def _sight(self, ahead: int) -> str:
        if ahead == 0:
            return ": it sees the step that it predicts"
        far = f"{ahead} step{'s' if ahead > 1 else ''}"
        start = "the step that it predicts" if self._is_next else "its step"
        return f": it sees what is at least {far} after {start}"

    @property
    def _is_next(self) -> bool:
        return self._predictor.visibility is Visibility.NEXT

    def _check_scored(self, scored: Iterable[Rows]) -> None:
        """Compare with what was scored: the audit sees the predictor that was."""
        rows = list(scored)
        predictions = torch.cat([item.predictions for item in rows]).to(self._predictor.device)
        sequences = torch.cat([item.sequences for item in rows])
        starts = torch.searchsorted(sequences, torch.arange(len(self._examples) + 1)).tolist()
        for part in self._parts:
            then = part.expected.clone()
            for row, place in enumerate(part.rows.tolist()):
                index = self._chosen[place]
                counted = self._examples[index].target_mask
                steps = self._mask(part.inputs)[row].nonzero()[:, 0]
                if counted is not None:
                    steps = counted.nonzero()[:, 0].to(steps.device)
                then[row, steps] = predictions[starts[index] : starts[index + 1]].to(then.dtype)
            self._permit(part, then, "from what was scored")

    def _permit(self, part: _Part, found: Tensor, what: str) -> None:
        """Judge predictions that may differ by rounding, and count by how much they do."""
        change = self._change(part.expected, found)
        self._judge(change, what, self._mask(part.inputs))
        self._count_as_rounding(change, part)

    def _check_batch(self, thorough: bool) -> None:
        """Change padding, and the other sequences of a batch."""
        for part in self._parts:
            more = probes.padded(part.inputs, PADDING)
            self._permit(part, self._predict(more), "when padding was added")
            order = torch.randperm(len(part.rows), generator=self._generator)
            halves = [half for half in (order[::2], order[1::2]) if len(half)]
            groups = [probes.rows_of(part.inputs, half) for half in halves]
            found = part.expected.clone()
            for half, inputs in zip(halves, groups, strict=True):
                there = self._predict(inputs)
                found[half.to(found.device), : there.shape[1]] = there
            self._permit(part, found, "with other sequences in its batch")
        part = self._parts[0]
        some = int(torch.randint(len(part.rows), (), generator=self._generator))
        for row in {0, some} if thorough else {some}:
            rows = torch.tensor([row])
            alone = self._predict(probes.rows_of(part.inputs, rows))
            found = part.expected.clone()
            found[rows.to(found.device), : alone.shape[1]] = alone
            self._permit(part, found, "when it was alone in its batch")

    def _check_modes(self) -> None:
        """Predict where gradients are not recorded, and where they are."""
        part = self._parts[0]
        inputs = probes.rows_of(part.inputs, slice(_FEW))
        few = _Part(inputs, part.rows[:_FEW], part.expected[:_FEW])
        for mode, what in _MODES:
            seed_all(0, self._predictor.device)
            try:
                with mode():
                    found = self._as_steps(self._predictor(inputs).detach())
            except Exception:  # it is never scored so
                continue
            self._permit(few, found, what)

    def _check_hidden(self, thorough: bool) -> None:
        """Change the steps that are hidden from a prediction, and the length if it is hidden."""
        hidden: Hidden = "after" if self._one_sided else "one"
        visible = 1 if self._is_next else 0
        cuts = Cuts(self._pool, 1 - visible, self._generator)
        when = "when step {step} on became" if self._one_sided else "when step {step} became"
        words = {
            "replaced": f"{when} another sequence's",
            "noise": f"{when} noise",
            "cut": "when the sequence was cut off at step {step}",
            "length": "when the sequence had another length, and was another's from step {step}",
            "new": f"{when} another sequence's, in a sequence that it had not seen before",
        }
        every = [kind for kind, count in CHANGES.items() for _ in range(count)]
        kinds = every if thorough else FEWER
        for kind in kinds if self._one_sided else [k for k in kinds if k in _AT_ONE_LENGTH]:
            for part in self._parts:
                cut = cuts.draw(part.rows)
                if kind == "cut":
                    cut = replace(cut, lengths=cut.steps + visible)
                elif kind == "length":
                    cut = cuts.other_lengths(cut, visible)
                if kind == "noise":
                    scale = self._predictor.input_std
                    changed = probes.noisy(part.inputs, cut, hidden, scale, self._generator)
                else:
                    changed = probes.spliced(part.inputs, self._pool, cut, hidden)
                expected = part.expected
                if kind == "new":  # each moved otherwise, so that the model can know neither
                    expected = self._predict(self._jittered(part.inputs, _ANEW))
                    changed = self._jittered(changed, _ANEW)
                change = self._change(expected, self._predict(changed), kind == "noise")
                time = torch.arange(change.shape[1])
                kept = time < cut.steps[:, None] + visible
                if not self._one_sided:
                    kept = time == cut.steps[:, None]
                kept = kept.to(change.device) & part.inputs.mask[:, : change.shape[1]]
                self._judge(change, words[kind], kept, cut)


_MODES: Sequence[tuple[Callable[[], AbstractContextManager[None]], str]] = (
    (torch.no_grad, "under torch.no_grad(), not torch.inference_mode()"),
    (torch.enable_grad, "where gradients are recorded"),
)
_AT_ONE_LENGTH = ("replaced", "noise", "new")
_ANEW = 2.0  # units in the last place that make a sequence a new one
_DRAWS = 8  # of values that are moved a little
_FEW = 8  # sequences of a batch that is predicted in another mode
