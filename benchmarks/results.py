"""Train every model of the results page, and write the page: `make results`.

Each trial is trained as `seqbench task=... model=... seed=...` would, and its record, without the
learning curve, is a line of `docs/results.jsonl`; the page `docs/results.md` is written from those
lines alone. A trial whose key stands there already is not trained again: the key covers code, data,
configuration and versions. `--keep` trusts lines with another key too, `--only TASK` does a part,
`--jobs N` takes N processes, and `--page` writes the page from what is there.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import filelock
from rich.progress import Progress

from seqbench.config import compose, settings
from seqbench.errors import SeqbenchError
from seqbench.records import TrialRecord
from seqbench.runner import run
from seqbench.trial import load, new_record

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = DOCS / "results.jsonl"
PAGE = DOCS / "results.md"

SIX = ("rnn", "lstm", "peephole", "gru", "bilstm", "attention_lstm")
SEEDS = (0, 1, 2)
TRIALS: dict[str, list[tuple[Sequence[str], Sequence[int]]]] = {
    "speech": [(SIX, SEEDS)],
    "music": [(SIX, SEEDS)],
    "anomaly/watch": [(SIX, SEEDS)],
    "health/pbc": [((*SIX, "grud"), SEEDS)],
    "health/pbc task.visits=protocol": [((*SIX, "grud"), SEEDS)],
    "health/nafld": [((*SIX, "grud"), SEEDS[:1]), (("gru",), SEEDS)],
    "music/harmonize": [(("lstm", "bilstm"), range(8)), (SIX, SEEDS[:1])],
    "anomaly/holidays": [(SIX, SEEDS)],
    "speech/japanese_vowels": [(SIX, SEEDS)],
}
"""Models and seeds of each task, as the command line names it. On the costly variants one seed of
each shows which model validation prefers, and more seeds are spent on that one or on a pair."""
PAIRS = {"music/harmonize": ("bilstm", "lstm")}
"""Two models whose difference over paired seeds is tested."""

Trial = tuple[str, str, int]

INTRODUCTION = """\
# Results

Made by `make results` from `docs/results.jsonl`, where every trial's record is. Each row is a model's mean
and standard deviation over seeds, with the task's own recipe ([how it was found](recipes.md)). *valid* is the
monitor that selects epochs, on validation; the model that is best by it among those of one context is
**bold**. Simple predictors of the task stand in the same table, on the same folds; a model whose mean does
not beat the best of them is marked. Three seeds cannot show a difference between two models beyond
chance (an exact paired sign-flip test cannot go below p = 0.25): read neighbouring rows as equal unless
a test below a table says otherwise. `seqbench describe task=NAME` is each task's data card."""  # noqa: E501


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, and write the page."""
    if not arguments.page:
        wanted = [trial for trial in trials() if not arguments.only or trial[0] in arguments.only]
        if arguments.keep:
            wanted = [trial for trial in wanted if trial not in by_trial(read())]
        # Started afresh, because a fork after torch's threads have run can hang.
        pool = ProcessPoolExecutor(arguments.jobs, get_context("spawn"))
        with pool, Progress(disable=not sys.stderr.isatty()) as bar:
            shown = bar.add_task("trials", total=len(wanted))
            for done in as_completed(pool.submit(train, trial) for trial in wanted):
                bar.advance(shown)
                if line := done.result():
                    bar.console.print(line)
    PAGE.write_text(page(read()), encoding="utf-8")


def trials() -> Iterator[Trial]:
    """Yield every trial of the page once."""
    seen = set()
    for task, groups in TRIALS.items():
        for models, seeds in groups:
            for trial in ((task, model, seed) for seed in seeds for model in models):
                if trial not in seen:
                    seen.add(trial)
                    yield trial


def train(trial: Trial) -> str:
    """Train a trial unless its key is known, keep its record, and return a line about it."""
    task, model, seed = trial
    words = [*f"task={task}".split(), f"model={model}", f"seed={seed}", "tracking=none"]
    checked = settings(compose([*words, "trainer.progress=false"]))
    try:
        loaded = load(checked)
        record = new_record(loaded, loaded.predictor(loaded.data()[0]))
        known = by_trial(read()).get(trial)
        if known is not None and known.key == record.key:
            return ""
        record = run(checked)
    except SeqbenchError as error:
        record = TrialRecord("", task, model, seed, status="FAILED", reason=str(error))
    record.task = task
    keep(record)
    score = record.metrics.get(f"test/{record.primary.name}", math.nan)
    return f"{task} {model} seed={seed}: {score:.4g} {record.reason}"


def keep(record: TrialRecord) -> None:
    """Put a record in the place of an earlier one of its trial."""
    with filelock.FileLock(RECORDS.with_suffix(".lock")):
        records = by_trial(read())
        record.history = []
        record.environment.pop("git", None)
        records[record.task, record.model, record.seed] = record
        order = {trial: number for number, trial in enumerate(trials())}
        lines = [
            json.dumps(asdict(records[trial]), sort_keys=True)
            for trial in sorted(records, key=lambda trial: order.get(trial, len(order)))
        ]
        RECORDS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read() -> list[TrialRecord]:
    """Return the records that are kept."""
    if not RECORDS.exists():
        return []
    return [TrialRecord.from_json(line) for line in RECORDS.read_text("utf-8").splitlines()]


def by_trial(records: Iterable[TrialRecord]) -> dict[Trial, TrialRecord]:
    """Return records by their trial."""
    return {(record.task, record.model, record.seed): record for record in records}


def page(records: Sequence[TrialRecord]) -> str:
    """Return the results page."""
    parts = [INTRODUCTION]
    for task in TRIALS:
        of_task = [record for record in records if record.task == task]
        if of_task:
            parts.append(section(task, of_task))
    known = by_trial(records)
    missing = [trial for trial in trials() if trial not in known]
    if missing:
        parts.append("## Not run yet")
    for task in dict.fromkeys(task for task, _, _ in missing):
        listed = [f"{model} seed {seed}" for name, model, seed in missing if name == task]
        parts.append(f"{task}: {', '.join(listed)}.")
    return "\n\n".join(parts) + "\n"


def section(task: str, records: Sequence[TrialRecord]) -> str:
    """Return a task's table and what follows from it."""
    finished = [record for record in records if record.status == "FINISHED"]
    if not finished:
        return f"## {task}\n\nNo trial finished."
    first = finished[0]
    primary, monitor = first.primary, first.monitor
    names = [key.removeprefix("test/") for key in first.metrics if key.startswith("test/")]
    names = [primary.name, *(name for name in names if name != primary.name)]
    models: dict[str, list[TrialRecord]] = {}
    for record in finished:
        models.setdefault(record.model, []).append(record)
    sign = 1 if primary.direction == "min" else -1
    baselines = first.baselines
    reference = min(baselines, key=lambda name: sign * baselines[name][primary.name], default=None)
    best = best_by_validation(models)
    heading = [primary.name + (f" ({primary.unit})" if primary.unit else ""), *names[1:]]
    header = ["predictor", "context", "valid " + monitor.name, *heading]
    header += ["parameters", "epochs", "seeds"]
    rows = []
    for model, group in models.items():
        scores = [mean_and_spread(group, f"test/{name}") for name in names]
        mean = statistics.fmean(record.metrics[f"test/{primary.name}"] for record in group)
        label = f"**{model}**" if model in best else model
        if reference and sign * mean >= sign * baselines[reference][primary.name]:
            label += f" (not better than {reference})"
        rows.append((group[0].context == "past+future", sign * mean, [
            label, group[0].context, mean_and_spread(group, f"valid/{monitor.name}"), *scores,
            f"{group[0].parameters:,}", between([record.epochs for record in group]),
            str(len(group)),
        ]))  # fmt: skip
    for name, found in baselines.items():
        values = [number(found.get(metric, math.nan)) for metric in names]
        rows.append((False, sign * found[primary.name], [name, "", "", *values, "", "", ""]))
    folds = f", {len(first.folds)} folds" if len(first.folds) > 1 else ""
    lines = [f"## {task}", "", f"Test scores{folds}; {direction(primary.direction)}.", ""]
    lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    ordered = sorted(rows, key=lambda row: (row[0], not math.isfinite(row[1]), row[1]))
    lines += ["| " + " | ".join(cells) + " |" for _, _, cells in ordered]
    for record in records:
        if record.status != "FINISHED":
            lines += ["", f"{record.model}, seed {record.seed}: {record.status}, {record.reason}"]
    lines += list(remarks(models, best, {reference, "logistic_regression"}, names[:2]))
    if task in PAIRS:
        lines += ["", paired(models, *PAIRS[task])]
    return "\n".join(lines)


def best_by_validation(models: Mapping[str, Sequence[TrialRecord]]) -> list[str]:
    """Return the model with the best validation monitor of each context."""
    chosen: dict[str, tuple[float, str]] = {}
    for model, group in models.items():
        monitor = group[0].monitor
        sign = 1 if monitor.direction == "min" else -1
        mean = statistics.fmean(record.metrics[f"valid/{monitor.name}"] for record in group)
        context = group[0].context
        chosen[context] = min(chosen.get(context, (math.inf, "")), (sign * mean, model))
    return [model for _, model in chosen.values()]


def remarks(
    models: Mapping[str, Sequence[TrialRecord]],
    best: Sequence[str],
    baselines: Collection[str | None],
    names: Sequence[str],
) -> Iterator[str]:
    """Yield, for the models chosen by validation, the intervals of their differences.

    Args:
        models: records by model.
        best: chosen by validation.
        baselines: from which differences are shown.
        names: of the metrics.
    """
    for model in best:
        for record in models[model]:
            for baseline in (name for name in record.differences if name in baselines):
                found = record.differences[baseline]
                text = ", ".join(
                    f"{name} {found[name][0]:+.3f} to {found[name][1]:+.3f}" for name in names
                )
                yield ""
                yield f"{model}, seed {record.seed}, minus {baseline}, 95% interval: {text}."


def paired(models: Mapping[str, Sequence[TrialRecord]], one: str, other: str) -> str:
    """Return the exact sign-flip test of two models' differences over paired seeds."""
    scores = [
        {record.seed: record.metrics[f"test/{record.primary.name}"] for record in models[name]}
        for name in (one, other)
        if name in models
    ]
    seeds = sorted(set(scores[0]) & set(scores[-1])) if len(scores) == 2 else []
    differences = [scores[0][seed] - scores[1][seed] for seed in seeds]
    if len(differences) < 2:
        return f"{one} and {other} have too few paired seeds for a test."
    observed = abs(math.fsum(differences)) * (1 - 1e-12)
    flips = 0
    for signs in range(2 ** len(differences)):
        total = math.fsum(d if signs >> i & 1 else -d for i, d in enumerate(differences))
        flips += abs(total) >= observed
    p = flips / 2 ** len(differences)
    mean = statistics.fmean(differences)
    return (
        f"{one} minus {other} over {len(seeds)} paired seeds: {mean:+.4f} on average, from"
        f" {min(differences):+.4f} to {max(differences):+.4f}; exact two-sided sign-flip test over"
        f" seeds p = {p:.4f} (the smallest possible is {2 / 2 ** len(seeds):.4f})."
    )


def mean_and_spread(group: Sequence[TrialRecord], metric: str) -> str:
    """Return a metric's mean and standard deviation over seeds."""
    values = [record.metrics.get(metric, math.nan) for record in group]
    if not all(map(math.isfinite, values)):
        return "nan"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return number(statistics.fmean(values)) + spread


def number(value: float) -> str:
    """Return a score with three decimals; nothing where there is none."""
    return f"{value:.3f}" if math.isfinite(value) else ""


def between(values: Sequence[int]) -> str:
    """Return the range of some counts."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def direction(word: str) -> str:
    """Return in words which way is better."""
    return "smaller is better" if word == "min" else "larger is better"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(TRIALS), metavar="TASK")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep records with another key")
    parser.add_argument("--page", action="store_true", help="train nothing")
    main(parser.parse_args())
