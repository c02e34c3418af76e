"""Are claims false as rarely as docs/statistics.md says? Simulated with known truths.

Each criterion has settings; each setting's rate must lie within what is asked. A rate may be
beyond it by two standard errors of its own simulation, and in one setting of twenty by three. Every
setting has its own fixed seed, so the same command measures the same rates.

    python benchmarks/verdicts.py               # all of it
    python benchmarks/verdicts.py --tenth       # a tenth of the draws
    python benchmarks/verdicts.py 3 looks       # a criterion, and what has this word
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import verdict_levels as levels
import verdict_tasks as tasks
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from threadpoolctl import threadpool_limits

SEED = 2026
INFINITE = math.inf


@dataclass(frozen=True)
class Setting:
    """One simulation, and the rate that is asked of it.

    Args:
        criterion: its number.
        what: is measured, a line of the table.
        rate: the simulation: ``(rng, draws, *arguments)``.
        arguments: of it.
        draws: data sets.
        low: the least rate.
        high: the largest; above 1 where the rate is only published.
    """

    criterion: int
    what: str
    rate: Callable[..., float]
    arguments: tuple[Any, ...]
    draws: int
    low: float
    high: float

    def is_one_of(self, words: Sequence[str]) -> bool:
        """Return whether it is of a criterion, or measures what a word says; of no words, it is."""
        return not words or any(
            word == str(self.criterion) or word.lower() in self.what.lower() for word in words
        )

    def measure(self, share: float = 1.0) -> float:
        """Return the rate, of a share of the draws."""
        key = zlib.crc32(repr((self.what, self.rate.__name__, self.arguments)).encode())
        rng = np.random.default_rng([SEED, key])
        with threadpool_limits(1):
            return float(self.rate(rng, max(round(self.draws * share), 1), *self.arguments))

    def beyond(self, rate: float, share: float = 1.0) -> float:
        """Return by how many standard errors a rate is out of bounds; 0 within."""
        bound = self.low if rate < self.low else self.high
        if self.low <= rate <= self.high:
            return 0.0
        error = math.sqrt(bound * (1 - bound) / (self.draws * share))
        return abs(rate - bound) / error if error else math.inf


GROUPS, SEEDS, RATIOS = (5, 7, 10, 20, 75, 300), (5, 10, 20), (0.3, 1, 3)
FOUR, TWO = (6, 10, 14, 20), (10, 20)
FAMILIES = ((10, 10, 1), (20, 20, 0.3), (75, 10, 1), (75, 5, 1), (75, 10, 3))


def settings() -> Iterator[Setting]:
    """Yield every setting of every criterion."""
    arguments: tuple[Any, ...]
    for groups, n, ratio in itertools.product(GROUPS, SEEDS, RATIOS):
        draws, far = 10_000 if groups < 300 else 4_000, groups == 300

        def one(
            number: int,
            what: str,
            shape: str,
            low: float,
            high: float,
            rest: tuple[Any, ...] = (groups, n, ratio),
            draws: int = draws,
        ) -> Setting:
            return Setting(number, what, levels.misses, (shape, *rest), draws, low, high)

        yield one(1, "E2, normal groups", "normal", 0.04, 0.06)
        yield one(1, "E2, lognormal groups, both alike", "lognormal, both alike", 0, 0.055)
        small = 0.09 if groups < 20 else 0.075 if groups < 75 else 0.06
        name = "E2, lognormal .5, one model"
        kind = "5 to 10 groups" if groups < 20 else "20 groups" if groups < 75 else "75, 300 groups"
        yield one(2, f"{name}, {kind}", "lognormal .5, one model", 0, small)
        name = "E2, lognormal 1, unlike, " + ("300 groups" if far else "fewer than 300 groups")
        yield one(2, name, "lognormal 1, unlike", 0, 0.07 if far else 2)
    for arguments in ((5, 10, 1), (10, 10, 0.3), (20, 5, 1), (75, 10, 1)):
        what = "E2, normal groups, from bootstrap scores"
        yield Setting(1, what, levels.misses_by_bootstrap, arguments, 4_000, 0.04, 0.06)
    for arguments in itertools.product((5, 10, 20, 75), (0.5, 1.0), RATIOS):
        yield Setting(3, "E2, unequal groups", levels.misses_unequal, arguments, 8_000, 0, 0.065)
    for arguments in itertools.product((5, 10, 20), (10,), RATIOS, (1.0,)):
        what = "E2, unequal groups, from bootstrap scores"
        yield Setting(3, what, levels.misses_by_bootstrap, arguments, 4_000, 0, 0.065)
    for kind, plan in (
        ("AUROC of patients", [(1, g, n, s, 1.0) for g in (75, 300) for n, s in _SPREADS]),
        ("AUROC of series", [(40, g, n, s, 1.0) for g in (5, 10, 20) for n, s in _SPREADS[:2]]),
        ("AUROC of patients, unequal models", [(1, g, 10, 0.1, 2.0) for g in (75, 300)]),
    ):
        for arguments in plan:
            yield Setting(3, f"E2, {kind}", tasks.misses_auroc, arguments, 1_000, 0, 0.06)
    for splits, folds, high, what in (
        (5, True, 0.05, "E3, five test folds"),
        (5, False, 0.10, "E3, five random splits"),
        (10, True, 0.10, "E3, ten test folds"),
    ):
        for data in ((50, 5, 20, 0.05, 99), (100, 5, 60, 0.02, 99), *_MUCH_TRAINING):
            if splits == 5 or data[0] >= 50:
                arguments = (splits, folds, *data)
                yield Setting(4, what, tasks.misses_over_splits, arguments, 1_500, 0, high)
    for family in FAMILIES:
        of = ("normal", *family)
        yield Setting(5, "six models, any false pair", levels.false_pairs, of, 4_000, 0, 0.05)
        for tied, kind in ((levels.MODELS, "all tied"), (2, "two tied")):
            what = f"six models, false best, {kind}"
            yield Setting(5, what, levels.false_best, (*of, tied), 4_000, 0, 0.05)
    for arguments in (
        (5, 10, 1, 3),
        (10, 10, 0.3, 3),
        (75, 10, 1, 3),
        (75, 5, 3, 3),
        (75, 10, 1, 4),
    ):
        what = "called equivalent at the margin"
        yield Setting(5, what, levels.false_equivalence, arguments, 10_000, 0, 0.05)
    for shape, n in itertools.product(levels.RUNS, (6, 10, 20)):
        yield Setting(6, "P, single runs", levels.false_single_runs, (shape, n), 4_000, 0, 0.055)
    for numbers, ratio, shape in itertools.product(
        (FOUR, TWO), (INFINITE, 1, 0.3), ("normal", "exponential")
    ):
        what, arguments = "planned looks, a pair", (numbers, ratio, shape)
        yield Setting(7, what, levels.false_at_looks, arguments, 40_000, 0, 0.05)
    for ratio, tied in itertools.product((1, 3, 10), (levels.MODELS, 2)):
        what = "planned looks, six models, " + ("any false pair" if tied > 2 else "false best")
        arguments = (FOUR, ratio, tied)
        yield Setting(7, what, levels.false_family_at_looks, arguments, 12_000, 0, 0.05)
    for numbers in (FOUR, TWO, (10,)):
        what = "unplanned looks, any claim"
        yield Setting(7, what, levels.claims_at_unplanned_looks, (numbers,), 100, 0, 0)
    for groups in (5, 10, 20, 75, 300):
        for n, ratio in ((5, 1), (10, 0.3), (10, 1), (10, 3), (20, 1)):
            draws, arguments = 10_000 if groups < 300 else 4_000, (groups, n, ratio)
            yield Setting(
                8, "power planned as .80", levels.planned_power, arguments, draws, 0.77, 0.83
            )


_SPREADS = ((10, 0.05), (10, 0.25), (5, 0.25))
_MUCH_TRAINING = ((25, 20, 60, 0.02, 4), (100, 20, 20, 0.02, 1))


@dataclass(frozen=True)
class Line:
    """A line of the table: what was asked of some settings, and what was measured."""

    criterion: int
    what: str
    asked: str
    measured: str
    held: bool

    @classmethod
    def of(cls, found: Sequence[tuple[Setting, float]], share: float) -> Line:
        """Sum up the settings of one criterion that measure the same."""
        first, rates = found[0][0], [rate for _, rate in found]
        beyond = [setting.beyond(rate, share) for setting, rate in found]
        text = f"{min(rates):.3f} to {max(rates):.3f} in {len(rates)}, mean {np.mean(rates):.3f}"
        slight, far = sum(2 < z <= 3 for z in beyond), sum(z > 3 for z in beyond)
        if slight or far:
            text += f"; beyond by more than 2 s.e. in {slight + far}"
        asked = f"at most {first.high:g}" if not first.low else f"{first.low:g} to {first.high:g}"
        if first.high > 1:
            asked = "published"
        return cls(first.criterion, first.what, asked, text, not far and slight <= len(rates) // 20)


def table(rates: Sequence[tuple[Setting, float]], share: float) -> list[Line]:
    """Return the lines of what was measured, in the order of the settings."""
    by_line: dict[tuple[int, str], list[tuple[Setting, float]]] = {}
    for setting, rate in rates:
        by_line.setdefault((setting.criterion, setting.what), []).append((setting, rate))
    lines = []
    for found in by_line.values():
        lines.append(Line.of(found, share))
        if found[0][0].what == "E2, normal groups":
            mean = float(np.mean([rate for _, rate in found]))
            draws = sum(setting.draws * share for setting, _ in found)
            reach = 0.003 + 2 * math.sqrt(0.05 * 0.95 / draws)
            held = abs(mean - 0.05) <= reach
            lines.append(Line(1, "the same, mean", "0.047 to 0.053", f"{mean:.4f}", held))
    return sorted(lines, key=lambda line: line.criterion)


def _shown(setting: Setting, rate: float, share: float) -> str:
    beyond = setting.beyond(rate, share)
    note = f", {beyond:.1f} s.e. beyond" if beyond else ""
    return f"{setting.criterion}, {setting.what} {setting.arguments}: {rate:.4f}{note}"


def measured(
    chosen: Sequence[Setting], share: float, processes: int
) -> list[tuple[Setting, float]]:
    """Measure settings in so many processes, and show how far it is."""
    rates: dict[int, float] = {}
    bar = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*bar, console=Console(stderr=True)) as progress,
        ProcessPoolExecutor(processes, get_context("spawn")) as pool,
    ):
        work = progress.add_task("settings", total=len(chosen))
        jobs = {pool.submit(item.measure, share): place for place, item in enumerate(chosen)}
        for job in as_completed(jobs):
            place = jobs[job]
            rates[place] = job.result()
            progress.console.print(_shown(chosen[place], rates[place], share), highlight=False)
            progress.advance(work)
    return [(setting, rates[place]) for place, setting in enumerate(chosen)]


def main() -> int:
    """Measure, print the table and every rate; 1 unless all that was asked held."""
    everything = list(settings())
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("criteria", nargs="*", help="numbers, or words of what is measured")
    parser.add_argument("--tenth", action="store_true", help="a tenth of the draws")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    share = 0.1 if options.tenth else 1.0
    began = time.monotonic()
    chosen = [item for item in everything if item.is_one_of(options.criteria)]
    if not chosen:
        parser.error(f"no criterion is {', '.join(options.criteria)}: 1 to 8, or for example AUROC")
    rates = measured(chosen, share, options.processes)
    lines = table(rates, share)
    print("| criterion | what | asked | measured | held |\n|---|---|---|---|---|")
    for line in lines:
        held = "yes" if line.held else "**no**"
        print(f"| {line.criterion} | {line.what} | {line.asked} | {line.measured} | {held} |")
    print("\nEvery rate (arguments as in benchmarks/verdict_*.py):\n")
    for setting, rate in rates:
        print(f"* {_shown(setting, rate, share)}")
    minutes = (time.monotonic() - began) / 60
    print(f"\n{len(rates)} settings in {minutes:.1f} minutes, {options.processes} processes.")
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
