"""How fast the compiled recurrence is, beside torch's own kernels.

    python benchmarks/recurrence.py [--quick] [--runs] [--csv FILE] [--plot FILE.png]

One step is forward and backward in float32 with 64 input features; the inputs take no gradient. For
each number of threads a fresh process takes turns through all rows and shapes, several rounds, to
and fro; a turn is a step to warm up and the median of as many as fit in its time. A ratio is the
median over the rounds of the ratio within the round, so that a busy machine slows both sides alike.
With two threads it does not: nn.LSTM's wait for each other at every step, the engine's do not, and
a busy machine flatters the engine. Measure on an idle one, or look at the fastest rounds.

``floor`` is the matrix products of an LSTM's training step alone, one torch call each: of the
inputs, of the recurrence forward and backward, and of the two weights' gradients. Code that packs
the weights once and splits the batch over threads can stay below it.

``--runs`` also times whole commands, in processes of their own.

Legend of shapes: B sequences, T steps, H hidden units.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import NamedTuple

import torch
from llvmlite.binding import get_host_cpu_name
from recurrence_steps import ENGINE, LONG, Shape, steps_to_time, turn

EPOCHS = 40
"""Of a whole run."""
Times = dict[tuple[str, Shape], list[float]]
"""Seconds of a row at a shape, one for each round."""

COLUMNS = [(row, "nn.LSTM") for row in ("floor", *ENGINE, "nn.GRU", "loop")]
COLUMNS += [("peephole", "floor"), ("gru", "nn.GRU")]
"""Ratios that are printed side by side."""


def measure(threads: int, rounds: int, quick: bool) -> Times:
    """Time everything in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    work = list(steps_to_time(quick))
    times: Times = {(name, shape): [] for name, shape, _ in work}
    for index in range(rounds):
        order = work[::-1] if index % 2 else work
        for number, (name, shape, step) in enumerate(order, start=1):
            progress(f"{threads} threads, round {index + 1}/{rounds}, {number}/{len(work)}: {name}")
            times[name, shape].append(turn(step))
    return times


def progress(line: str) -> None:
    """Show what is being timed, where somebody is looking."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line:<75}")
        sys.stderr.flush()


class Claim(NamedTuple):
    """What was measured, and the most that was asked for."""

    what: str
    measured: float
    asked: float


@dataclass(frozen=True)
class Results:
    """What was timed with one number of threads."""

    threads: int
    times: Times

    @property
    def shapes(self) -> list[Shape]:
        """Shapes at which everything is compared with ``nn.LSTM``."""
        return [shape for name, shape in self.times if name == "nn.LSTM"]

    def ratio(self, row: str, base: str, shape: Shape, base_shape: Shape | None = None) -> float:
        """Return the median of the rounds' ratios; NaN if one was not timed."""
        above = self.times.get((row, shape), [])
        below = self.times.get((base, base_shape or shape), [])
        return statistics.median([a / b for a, b in zip(above, below, strict=False)] or [math.nan])

    def fastest(self, row: str, base: str, shape: Shape) -> float:
        """Return the ratio of the fastest rounds, which a busy machine disturbs least."""
        above, below = (self.times.get((name, shape), [math.nan]) for name in (row, base))
        return min(above) / min(below)

    def lines(self) -> Iterator[str]:
        """Yield the table: a line for each shape, then geometric means."""
        for shape in self.shapes:
            milliseconds = 1e3 * statistics.median(self.times["nn.LSTM", shape])
            place = f"{self.threads:3} {shape.batch:5} {shape.steps:5} {shape.hidden:4}"
            ratios = _columns(self.ratio(*pair, shape) for pair in COLUMNS)
            yield f"{place} {milliseconds:9.1f}{ratios}"
        for name, of in (("geometric mean", self.ratio), ("of fastest rounds", self.fastest)):
            means = (_mean([of(*pair, shape) for shape in self.shapes]) for pair in COLUMNS)
            yield f"{self.threads:3} {name:>26}{_columns(means)}"

    def claims(self) -> Iterator[Claim]:
        """Yield what was asked for."""
        yield from self._both("peephole", "nn.LSTM", 0.9, 1.25)
        yield from self._both("gru", "nn.GRU", 0.6, 0.6)
        yield from self._both("sLSTM", "peephole", 1.2, 1.2)  # a user's cell, of as many gates
        for name, shape in self.times:
            if (half := shape._replace(steps=shape.steps // 2)) in LONG:
                what = f"{name} T={shape.steps} / T={half.steps}, B={shape.batch} H={shape.hidden}"
                yield self._claim(what, self.ratio(name, name, shape, half), 2.1)
            if name == "ragged peephole":
                what = f"{name} / packed nn.LSTM, {_label(shape)}"
                yield self._claim(what, self.ratio(name, "packed nn.LSTM", shape), 0.5)

    def _both(self, row: str, base: str, mean: float, worst: float) -> Iterator[Claim]:
        values = [self.ratio(row, base, shape) for shape in self.shapes]
        yield self._claim(f"{row} / {base}, geometric mean", _mean(values), mean)
        yield self._claim(f"{row} / {base}, worst shape", max(values), worst)

    def _claim(self, what: str, measured: float, asked: float) -> Claim:
        return Claim(f"{self.threads} thread{'s' * (self.threads > 1)}: {what}", measured, asked)


def _mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _columns(values: Iterable[float]) -> str:
    return "".join(f"{'-':>10}" if math.isnan(value) else f"{value:10.2f}" for value in values)


def _label(shape: Shape) -> str:
    return f"B={shape.batch} T={shape.steps} H={shape.hidden}"


STOPPED = 42
"""Exit code of a run that was stopped on purpose."""
STOP_AFTER_FIRST_STEP = f"""
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from seqbench.cli import main

register_optimizer_step_post_hook(lambda *_: os._exit({STOPPED}))
sys.exit(main())
"""


def run_claims(rounds: int) -> Iterator[Claim]:
    """Time whole commands, in turns, and judge them by wall and by CPU time.

    "First step" is from the start of the process to the end of the first optimiser step.
    """
    peephole, native = ["model=peephole"], ["model=lstm", "model.backend=native"]
    epochs = [f"recipe.max_epochs={EPOCHS}", f"recipe.patience={EPOCHS}"]
    first, whole = ["-c", STOP_AFTER_FIRST_STEP], ["-m", "seqbench"]
    commands = {
        "cold": [*first, *peephole],
        "warm": [*first, *peephole],
        "warm native": [*first, *native],
        "whole": [*whole, *peephole, *epochs],
        "whole native": [*whole, *native, *epochs],
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as kept:
        for index in range(rounds + 1):  # the first fills the kept cache, and does not count
            for name, words in commands.items():
                progress(f"round {index}/{rounds}: {name}")
                with tempfile.TemporaryDirectory() as folder:
                    cache = folder if name == "cold" else kept
                    spent[name].append(run([*words, "task=music"], Path(folder), cache))
    for index, kind in enumerate(("wall", "CPU")):
        medians = (statistics.median(pair[index] for pair in pairs[1:]) for pairs in spent.values())
        cold, warm, native_warm, total, native_total = medians
        yield Claim(f"first step of peephole, empty cache, {kind} seconds", cold, 25)
        what = f"first step of peephole - of native lstm, {kind} seconds"
        yield Claim(f"{what} ({warm:.1f} - {native_warm:.1f})", warm - native_warm, 1)
        what = f"{EPOCHS} epochs of peephole / of native lstm, {kind} time"
        yield Claim(f"{what} ({total:.1f} / {native_total:.1f})", total / native_total, 1.2)


def run(words: list[str], folder: Path, cache: str) -> tuple[float, float]:
    """Run Python in an empty folder and return its seconds of wall and of CPU time."""
    environment = {**os.environ, "SEQBENCH_CACHE": cache, "TMPDIR": str(folder)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    if done.returncode != (STOPPED if words[0] == "-c" else 0):
        raise SystemExit(f"seqbench {' '.join(words[2:])} failed: {done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_csv(path: Path, results: Sequence[Results]) -> None:
    """Write each row's median and its ratio to ``nn.LSTM``."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["threads", "row", "B", "T", "H", "rounds", "seconds", "ratio_to_nn.LSTM"])
        for result in results:
            for (name, shape), times in result.times.items():
                values = statistics.median(times), result.ratio(name, "nn.LSTM", shape)
                shown = [f"{value:.5g}" for value in values]
                writer.writerow([result.threads, name, *shape, len(times), *shown])


def plot(path: Path, results: Sequence[Results]) -> None:
    """Draw the ratios to ``nn.LSTM``: bars for the engine, marks for what it is compared with."""
    from matplotlib.figure import Figure

    shapes = results[0].shapes
    height = 0.8 / len(ENGINE)
    figure = Figure(figsize=(5.5 * len(results), 1 + 0.9 * len(shapes)), layout="constrained")
    panels = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False)[0]
    for panel, result in zip(panels, results, strict=True):
        for number, name in enumerate(ENGINE):
            places = [y + height * (number - (len(ENGINE) - 1) / 2) for y in range(len(shapes))]
            values = [result.ratio(name, "nn.LSTM", shape) for shape in shapes]
            panel.barh(places, values, height, label=name)
        for name, marker, size in (("floor", "|", 900), ("nn.GRU", "D", 25)):
            values = [result.ratio(name, "nn.LSTM", shape) for shape in shapes]
            panel.scatter(values, range(len(shapes)), size, "black", marker=marker, label=name)
        panel.axvline(1, color="grey", linewidth=1)
        panel.set_title(f"{result.threads} thread{'s' * (result.threads > 1)}")
        panel.set_xlabel("time of a training step / nn.LSTM's")
    panels[0].set_yticks(range(len(shapes)), [_label(shape) for shape in shapes])
    panels[0].invert_yaxis()
    entries = panels[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=3 * len(results), markerscale=0.5)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Training steps of the recurrence engine.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, help="5 by default, and 3 for --quick and --runs")
    parser.add_argument("--quick", action="store_true", help="two shapes only")
    parser.add_argument("--runs", action="store_true", help="time whole commands too: ten minutes")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where to write all rows")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="where to draw the ratios")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 5)
    load = os.getloadavg()[0]
    results = []
    for threads in options.threads:  # torch's pool of threads belongs to its process
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            times = pool.submit(measure, threads, rounds, options.quick).result()
        results.append(Results(threads, times))
    found = [claim for result in results for claim in result.claims()]
    if options.runs:
        found += run_claims(options.rounds or 3)
    progress("")
    print(f"{get_host_cpu_name()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"Load average before: {load:.1f}. Times on a machine that is not idle are worth little.")
    print(f"Medians of {rounds} rounds; ratios to nn.LSTM. Milliseconds mean nothing elsewhere.\n")
    titles = "".join(f"{row:>10}" for row, base in COLUMNS if base == "nn.LSTM")
    print(f"{'thr':>3} {'B':>5} {'T':>5} {'H':>4} {'LSTM ms':>9}{titles}  pe/floor   gru/GRU")
    for result in results:
        print("\n".join(result.lines()))
    print(f"\n{'':<70} {'measured':>8} {'asked':>7}")
    for what, measured, asked in found:
        print(f"{what:<70} {measured:8.2f} {asked:7.2f}  {'pass' if measured <= asked else 'FAIL'}")
    if options.csv:
        write_csv(options.csv, results)
    if options.plot:
        plot(options.plot, results)


if __name__ == "__main__":
    main()
