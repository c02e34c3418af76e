"""What every task must keep, built-in or not: a list of checks on its own data."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from seqbench.api import Example, InputSpec, Task, collate
from seqbench.testing.checklist import Check, require
from seqbench.testing.grouping import check_groups
from seqbench.testing.storage import check_damage, check_fingerprint, check_idempotence
from seqbench.testing.subjects import TaskSubject, check_configuration, check_parameter_docs
from seqbench.training.predictor import sights
from seqbench.training.scoring import score_baselines

_PARTS = ("train", "valid", "test")
_SCORED = 64  # sequences of the test split on which metrics are checked
_BATCHES = (1, 7)  # rows of a batch
_ROUNDING = 1e-12
_SAME = 1e-6
_LONGEST = 200_000  # numbers of a sequence up to which it is looked for in other splits


def _folds(subject: TaskSubject) -> None:
    folds = subject.task.folds()
    require(len(folds) > 0, "folds() is empty", "one fold at least, 0 by default")
    require(len(set(folds)) == len(folds), "folds() names a fold twice", "each fold once")


def _examples(subject: TaskSubject) -> None:
    for splits in subject.splits():
        for name in _PARTS:
            examples = getattr(splits, name)
            require(len(examples) > 0, f"the {name} split is empty", "a sequence at least")
            for example in examples:
                _check_example(example, name, subject.has_steps)


def _check_example(example: Example, split: str, step_targets: bool) -> None:
    length = len(example.values)
    require(length > 0, f"a sequence of the {split} split has no steps", "a step at least")
    finite = bool(example.values.isfinite().all())
    require(finite, f"{split}: a value is not finite", "finite values; what is missing is a flag")
    if step_targets:
        require(
            len(example.targets) == length,
            f"{split}: a sequence of {length} steps has {len(example.targets)} targets",
            "a target for each step",
        )
    mask = example.target_mask
    require(
        mask is None or (step_targets and mask.shape == (length,)),
        f"{split}: a target mask is {None if mask is None else list(mask.shape)}",
        "[T] where steps are labelled, otherwise none",
    )


def _leaks(subject: TaskSubject) -> None:
    """Find a group on both sides, or a whole sequence; one of a single step may recur by chance."""
    for splits in subject.splits():
        owner: dict[str, str] = {}
        seen: dict[bytes, str] = {}
        for name in _PARTS:
            for example in getattr(splits, name):
                taken = owner.setdefault(example.group, name) if example.group else name
                require(
                    taken == name,
                    f"a group of the {name} split is in {taken} too",
                    "each group (patient, speaker, piece) in one split",
                )
                if len(example.values) > 1 and example.values.numel() <= _LONGEST:
                    taken = seen.setdefault(_bytes(example), name)
                    require(
                        taken == name or example.values.unique().numel() < 2,
                        f"a sequence of the {name} split is in {taken} too, value for value",
                        "no sequence in two splits",
                    )


def _bytes(example: Example) -> bytes:
    """Return all that there is of an example, target included: inputs alone may well be alike."""
    parts = (example.values, example.targets, example.static, example.observed, example.delta)
    found = [part.contiguous().numpy() for part in parts if part is not None]
    return b"".join(str(part.shape).encode() + part.tobytes() for part in found)


def _reproducible(subject: TaskSubject) -> None:
    for fold in subject.task.folds():
        one, other = subject.task.splits(fold), subject.another.splits(fold)
        for name in _PARTS:
            require(
                _equal(getattr(one, name), getattr(other, name)),
                f"splits() of another task with the same parameters gives another {name} split",
                "the same splits from the same parameters",
            )
    check_fingerprint(subject.task.fingerprint(), subject.another.fingerprint())


def _specifications(subject: TaskSubject) -> None:
    for splits in subject.splits():
        spec = subject.task.input_spec(splits.train)
        _check_input_spec(spec, splits.train[0])
        output = subject.task.output_spec(splits.train)
        require(output.size > 0, f"output_spec().size is {output.size}", "a number at least")
        require(
            output.bias is None or output.bias.shape == (output.size,),
            f"output_spec().bias is {None if output.bias is None else list(output.bias.shape)}",
            "[K], or none",
        )


def _check_input_spec(spec: InputSpec, example: Example) -> None:
    width = example.values.shape[1]
    require(
        spec.size == width,
        f"input_spec().size is {spec.size}, and values are {width} wide",
        "the width of the values",
    )
    static_size = 0 if example.static is None else len(example.static)
    require(
        spec.static_size == static_size,
        f"input_spec().static_size is {spec.static_size}, and static features are {static_size}",
        "the number of static features",
    )
    given = example.observed is not None and example.delta is not None
    require(
        spec.missing == given,
        f"input_spec().missing is {spec.missing}, and examples "
        f"{'hold' if given else 'lack'} observed and delta",
        "missing=True where examples hold observed and delta, and only there",
    )
    for name, statistic in (("mean", spec.mean), ("std", spec.std), ("rate", spec.observed_rate)):
        require(
            statistic is None or statistic.shape == (spec.size,),
            f"input_spec().{name} is not [F]",
            f"[{spec.size}], or none",
        )


def _loss(subject: TaskSubject) -> None:
    predictions, targets, _ = _rows(subject)
    losses = subject.task.loss(predictions, targets)
    require(
        losses.shape == (len(targets),),
        f"loss() returns {list(losses.shape)} for {len(targets)} predictions: "
        "not one number per prediction",
        "[N]: the harness masks, sums and averages",
    )
    require(losses.isfinite().all(), "loss() is not finite", "finite losses of finite predictions")


def _rows(subject: TaskSubject) -> tuple[Tensor, Tensor, Tensor]:
    """Return random predictions ``[N, K]`` in float64 of test sequences, targets, sequences."""
    batch = collate(list(subject.some.test[:_SCORED]), subject.has_steps)
    outputs = subject.task.output_spec(subject.some.train).size
    targets = batch.targets[batch.target_mask]
    generator = torch.Generator().manual_seed(0)
    shape = (len(targets), outputs)
    predictions = torch.randn(shape, generator=generator, dtype=torch.float64)
    return predictions, targets, batch.target_mask.nonzero()[:, 0]


def _metrics(subject: TaskSubject) -> None:
    task = subject.task
    rows = _rows(subject)
    whole = task.metrics()
    whole.update(*rows)
    scores = whole.compute()
    for metric in (task.monitor, task.primary):
        require(
            metric.name in scores,
            f"metrics() lacks {metric.name}",
            f"monitor and primary among {', '.join(scores)}",
        )
    for size in _BATCHES:
        parts = task.metrics()
        # Of step labels a batch holds whole sequences, however many rows that are.
        for start, stop in _bounds(rows[2], size):
            parts.update(*(row[start:stop] for row in rows))
        for name, value in parts.compute().items():
            usual = scores[name]
            require(
                math.isclose(value, usual, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
                or (math.isnan(value) and math.isnan(usual)),
                f"{name} depends on the batch size: {value!r} in batches of {size}, {usual!r} "
                "in one",
                f"the same score within {_ROUNDING:g}, in float64, at any batch size",
            )


def _groups(subject: TaskSubject) -> str | None:
    return check_groups(subject, _rows(subject))


def _bounds(sequences: Tensor, size: int) -> Iterator[tuple[int, int]]:
    """Yield where batches of so many sequences begin and end."""
    first = torch.searchsorted(sequences, torch.arange(0, int(sequences.max()) + 1, size))
    starts = [*first.tolist(), len(sequences)]
    for start, stop in itertools.pairwise(starts):
        if start < stop:
            yield start, stop


def _augmentation(subject: TaskSubject) -> None:
    task, example = subject.task, subject.some.train[0]
    before = copy.deepcopy(example)
    drawn, again = (task.augment(example, torch.Generator().manual_seed(0)) for _ in range(2))
    _check_example(drawn, "augmented train", subject.has_steps)
    require(
        _equal([drawn], [again]),
        "augment ignores its generator: the same seed gives two examples",
        "the same example from the same generator",
    )
    require(
        _equal([example], [before]),
        "augment changes the data that it is given",
        "a new example; the next epoch begins with the old one",
    )


def _baselines(subject: TaskSubject) -> None:
    task, splits = subject.task, list(subject.splits())[-1]
    found: dict[str, float] = {}
    for sight in sights(task.visibility):
        offered = task.baselines_for(splits, sight)
        require(
            offered,
            f"there is no baseline beside a model that sees {sight}",
            "a trivial predictor at least, such as the mean",
        )
        for name, scores in score_baselines(task, [offered], [splits.test]).items():
            primary = scores.compute().get(task.primary.name, math.nan)
            require(
                math.isfinite(primary),
                f"baseline {name} has no finite {task.primary.name}: {primary}",
                "a score to compare models with",
            )
            require(
                math.isclose(found.setdefault(name, primary), primary, rel_tol=_SAME),
                f"baseline {name} has another score beside a model that sees {sight}",
                "another name for a baseline that sees more",
            )


def _configuration(subject: TaskSubject) -> str | None:
    return check_configuration(subject.registration)


def _documentation(subject: TaskSubject) -> None:
    task = subject.task
    require(inspect.getdoc(type(task)), "the class has no docstring", "what it is")
    for name, what in (("citation", "where the data are from"), ("licence", "on what terms")):
        value = getattr(task, name, "")
        require(isinstance(value, str) and value.strip(), f"it has no {name}", f"{name}: {what}")
    scores = subject.task.metrics()
    scores.update(*_rows(subject))
    silent = [name for name in scores.compute() if name not in task.metric_help]
    require(
        not silent,
        f"metric_help does not say what {', '.join(silent)} means",
        "a line for each metric",
    )
    require(task.sizes, "sizes is empty", "sizes of the data, for the data card")
    worth = task.smallest_difference
    require(
        worth is None or (worth[0] > 0 and math.isfinite(worth[0]) and worth[1].strip()),
        f"smallest_difference is {worth!r}",
        "a positive number in the unit of the primary metric, and why, or None",
    )
    if subject.registration is not None:
        check_parameter_docs(subject.registration)


def _equal(ones: Sequence[Example], twos: Sequence[Example]) -> bool:
    return len(ones) == len(twos) and all(
        torch.equal(one.values, two.values) and torch.equal(one.targets, two.targets)
        for one, two in zip(ones, twos, strict=True)
    )


TASK_CHECKS: tuple[Check[TaskSubject], ...] = (
    Check("folds", "there is a fold, and each is named once", _folds),
    Check("examples", "every sequence has steps, finite values and its targets", _examples),
    Check("leaks", "no group and no sequence is in two splits", _leaks),
    Check("reproducible", "the same parameters give the same data and fingerprint", _reproducible),
    Check("idempotent", "preparing again changes nothing", check_idempotence),
    Check("specifications", "sizes and statistics fit the data", _specifications),
    Check("loss", "the loss is one finite number per prediction", _loss),
    Check("metrics", "scores are the same at any batch size", _metrics),
    Check("groups", "the sizes of the groups are those that the scores are made of", _groups),
    Check("augmentation", "augmenting draws from its generator alone", _augmentation),
    Check("baselines", "simple predictors are there and have a score", _baselines),
    Check("damaged data", "files that are cut short are refused or made again", check_damage),
    Check("configuration", "configuration and code have the same parameters", _configuration),
    Check("documentation", "class, parameters, metrics and licence are described", _documentation),
)  # fmt: skip


def check_task(task: Task) -> None:
    """Check a task's contract on its own data; fetches them if need be.

    Args:
        task: constructed.

    Raises:
        ConformanceError: a promise is broken; says what was seen and what was expected.
    """
    subject = TaskSubject(task)
    for check in TASK_CHECKS:
        check.run(subject)
