"""What a person reads at the end of a trial: a short table, plain when it is piped."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from seqbench.config.command import command
from seqbench.records import MetricInfo, TrialRecord, left_out_lines
from seqbench.reporting.text import duration, with_unit
from seqbench.tracking.address import DATABASE_NAME, RUNS_FOLDER

_COMPARED_WITH = "lstm"
_COMPARED_WITH_OTHERWISE = "gru"
_WIDTH = 90  # of a list of folds
_VERDICT_WIDTH = 8  # where "better by 0.35" folds in a narrow terminal


@dataclass(frozen=True)
class Evaluation:
    """What a stored model was scored on, when it was scored again; such a result is not logged.

    Args:
        run: what a person calls the run that trained the model, for example ``run 1a2b3c4d``.
        changed: what was changed in the task, for example ``task.source=rolls.pkl``; empty if it
            was scored on its own task.
        fingerprint: of the data.
        kept: words of a command on the same data, see :func:`print_result`.
    """

    run: str
    changed: Sequence[str]
    fingerprint: str
    kept: Sequence[str] = ()


def print_result(
    record: TrialRecord,
    console: Console | None = None,
    evaluation: Evaluation | None = None,
    kept: Sequence[str] = (),
) -> None:
    """Write a trial's result to standard output, with the next command to try.

    Args:
        record: of a trial that has ended, however it ended.
        console: where to write; None takes standard output.
        evaluation: of a stored model that was scored again.
        kept: words of the trial's command that the next one needs too, see
            :func:`seqbench.config.command.kept_words`.
    """
    target = console or Console(highlight=False, emoji=False)
    kept = evaluation.kept if evaluation else kept
    target.print()
    target.print(result_table(record, next_command(record, kept), evaluation), crop=False)


def next_command(record: TrialRecord, kept: Sequence[str] = ()) -> str:
    """Return what to try after a trial: the comparison with another model over three seeds.

    Args:
        record: of a trial that has ended.
        kept: words of the trial's command that this one needs too; none names the task alone.
    """
    kept = kept or [f"task={record.task}"]
    if record.status != "FINISHED":
        return command(kept, f"model={record.model}", "experiment=smoke")
    other = _COMPARED_WITH if record.model != _COMPARED_WITH else _COMPARED_WITH_OTHERWISE
    return command("-m", kept, f"model={record.model},{other}", "seed=0,1,2")


def result_table(
    record: TrialRecord, next_command: str, evaluation: Evaluation | None = None
) -> RenderableType:
    """Return a trial's result: its test score beside the baselines, its cost, where it is logged.

    Args:
        record: of a trial that has ended.
        next_command: what the last line tells the reader to try.
        evaluation: of a stored model that was scored again; says on which data, instead of where
            the result is logged.
    """
    title = Text(_title(record, evaluation), style="bold")
    if record.status != "FINISHED":
        reason = f"{record.status}: {record.reason}" if record.reason else record.status
        failed = {"ended": reason, "logged": _where(record.location), "next": next_command}
        return Group(title, *_lines(failed, "red"))
    test = _split_scores(record, "test")
    scores = {**record.baselines, record.model: test}
    table = score_table(record.primary, scores, record.model, record.differences)
    facts = {
        "subset": f"first {record.max_examples} sequences of each split: a smoke run, no result"
        if record.max_examples
        else "",
        "context": record.context,
        "other scores": ", ".join(
            f"{name} {_number(value, value)}"
            for name, value in test.items()
            if name != record.primary.name
        ),
        "95% intervals": ", ".join(
            f"{name} {_interval(interval)}" for name, interval in record.intervals.items()
        ),
        "fold": _fold(record),
        "by fold": _by_fold(record),
        # What is not logged stands here alone, and so the whole of it.
        "left out": "\n".join(
            left_out_lines(record.left_out, whole=evaluation is not None or not record.run_id)
        ),
        "validation": _validation(record),
        "parameters": f"{record.parameters:,}",
        "training": _training(record),
        "backend": record.backend,
        **_whereabouts(record, evaluation),
        "next": next_command,
    }
    if record.context == "past+future":
        facts["context"] += " (not to be ranked with context=past)"
    return Group(
        title,
        Text(""),
        table,
        Text(""),
        *_lines({name: fact for name, fact in facts.items() if fact}, "bold"),
    )


def score_table(
    primary: MetricInfo,
    scores: Mapping[str, Mapping[str, float]],
    highlight: str,
    differences: Mapping[str, Mapping[str, tuple[float, float]]],
) -> Table:
    """Return predictors by their primary score, best first, each compared with one of them.

    Args:
        primary: the score to show, its direction and unit.
        scores: metrics by predictor; a predictor without the primary metric counts as NaN.
        highlight: the predictor that the others are compared with.
        differences: 95% intervals of its scores minus another's, by the other's name and metric.
    """
    values = {name: metrics.get(primary.name, math.nan) for name, metrics in scores.items()}
    finite = [abs(value) for value in values.values() if math.isfinite(value)]
    largest = max(finite, default=1.0)
    sign = 1 if primary.direction == "min" else -1
    order = sorted(values, key=lambda name: (not math.isfinite(values[name]), sign * values[name]))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    # In a narrow terminal the heading and the verdicts fold; names and scores stay whole.
    table.add_column("predictor", no_wrap=True, min_width=max(map(len, scores)))
    table.add_column(
        Text(f"test {with_unit(primary)}"),
        justify="right",
        overflow="fold",
        min_width=max(len(_number(value, largest)) for value in values.values()),
    )
    table.add_column(Text(f"{highlight} is"), overflow="fold", min_width=_VERDICT_WIDTH)
    for name in order:
        chosen = name == highlight
        verdict = Text("")
        if not chosen:
            interval = differences.get(name, {}).get(primary.name)
            verdict = _verdict(values[highlight], values[name], sign, largest, interval)
        row = (Text(name), Text(_number(values[name], largest)), verdict)
        table.add_row(*row, style="bold" if chosen else "")
    return table


def _verdict(
    own: float, other: float, sign: int, largest: float, interval: tuple[float, float] | None
) -> Text:
    """Return whether a predictor is better than another, and by how much.

    Args:
        own: its score.
        other: the other's.
        sign: 1 where smaller is better, otherwise -1.
        largest: score of the table, which decides the digits.
        interval: 95% interval of ``own - other``, where there is one.
    """
    gain = sign * (other - own)
    if not math.isfinite(gain):
        return Text("not comparable", style="yellow")
    amount = _number(abs(gain), largest)
    if float(amount.replace(",", "")) == 0:
        return Text("equal", style="yellow")
    verdict = (
        Text(f"better by {amount}", style="green")
        if gain > 0
        else Text(f"WORSE by {amount}", "red")
    )
    if interval is not None:
        low, high = sorted(end if own > other else -end for end in interval)
        verdict.append(f" (95%: {_number(low, largest)} to {_number(high, largest)})")
    return verdict


def _title(record: TrialRecord, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return f"{record.title or record.task}, {record.model}, seed {record.seed}"
    data = "on other data" if evaluation.changed else "scored again"
    return f"{record.title or record.task}, {record.model} of {evaluation.run}, {data}"


def _whereabouts(record: TrialRecord, evaluation: Evaluation | None) -> dict[str, str]:
    """Return where a result is logged, or else on which data a stored model was scored."""
    if evaluation is None:
        return {"logged": _where(record.location)}
    about = {"evaluated": f"{evaluation.run}, not logged"}
    if evaluation.changed:
        about["data"] = " ".join(evaluation.changed)
        about["baselines"] = "fitted on the training split of these data"
    else:
        about["data"] = "the task's whole test split"
    return about | {"fingerprint": evaluation.fingerprint}


def _where(location: str) -> str:
    """Return where a result is logged, and what shows it there."""
    store, is_local, _ = location.rpartition(" run ")
    if not is_local:  # a server's address, or what waits on disk
        return location or "nowhere (tracking=none)"
    is_usual = store == f"{RUNS_FOLDER}/{DATABASE_NAME}"
    words = [] if is_usual else [f"tracking.uri={store}"]
    return f"{location}; to see it: {command('ui', *words)}"


def _training(record: TrialRecord) -> str:
    epochs = f"{record.epochs} epochs" if record.epochs != 1 else "1 epoch"
    best = ", ".join(str(epoch + 1) for epoch in record.best_epochs)
    text = f"{epochs} (best: {best})"
    if record.seconds:  # a trial that is tested again was not timed
        text += f", {record.steps_per_second:.1f} steps/s, {_duration(record.seconds)} in all"
    return text


def _validation(record: TrialRecord) -> str:
    value = record.metrics.get(f"valid/{record.monitor.name}")
    if value is None:
        return ""
    return f"{record.monitor.name} {_number(value, value)} {record.monitor.unit}".rstrip()


def _interval(interval: tuple[float, float]) -> str:
    largest = max(map(abs, interval))
    return " to ".join(_number(end, largest) for end in interval)


def _fold(record: TrialRecord) -> str:
    """Return the name of the fold of a trial that has one, where its title does not say it."""
    name = record.fold_name(record.folds[0]) if len(record.folds) == 1 else ""
    stem = name.rpartition(".")[0] or name
    is_said = record.title.endswith((f" {name}", f" {stem}"))
    return "" if is_said or name == str(record.folds[0]) else name


def _by_fold(record: TrialRecord) -> str:
    """Return the primary score of each fold's test split, with its name; empty where there is one.

    Folds without names have none, for their numbers say nothing.
    """
    said = []
    for fold in record.folds:
        value = _split_scores(record, f"fold-{fold}").get(record.primary.name)
        if value is not None:
            name = record.fold_name(fold)
            number = _number(value, value)
            said.append(number if name == str(fold) else f"{name} {number}")
    return _wrapped(", ".join(said))


def _wrapped(text: str) -> str:
    """Return a text in lines that break between the items of a list, never inside one."""
    lines = [""]
    for item in re.split(r"(?<=,) ", text):
        if lines[-1] and len(lines[-1]) + len(item) > _WIDTH:
            lines.append("")
        lines[-1] += f" {item}" if lines[-1] else item
    return "\n".join(lines)


def _split_scores(record: TrialRecord, split: str) -> dict[str, float]:
    prefix = f"{split}/"
    return {
        name.removeprefix(prefix): value
        for name, value in record.metrics.items()
        if name.startswith(prefix)
    }


def _lines(facts: Mapping[str, str], style: str) -> list[Text]:
    """Return the lines of each fact; a long one runs on instead of being broken inside a path."""
    width = max(map(len, facts)) + 2
    return [
        Text.assemble((name.ljust(width) if number == 0 else " " * width, style), line,
                      no_wrap=True, overflow="ignore")
        for name, fact in facts.items()
        for number, line in enumerate(fact.splitlines() or [""])
    ]  # fmt: skip


def _number(value: float, largest: float) -> str:
    """Return a number with four significant digits of the largest beside it, at most 3 decimals."""
    if not math.isfinite(value):
        return str(value)
    magnitude = math.floor(math.log10(abs(largest))) if largest else 0
    return f"{value:,.{min(3, max(0, 3 - magnitude))}f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
