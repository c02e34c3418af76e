"""How often a report's 95% interval of the mean holds the true mean, beside Student's t.

``python benchmarks/coverage.py [SAMPLES]`` draws scores of known distributions and prints the
share of samples whose interval holds the mean, in percent. ``docs/statistics.md`` keeps the table.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from scipy.special import stdtrit

from seqbench.reporting.statistics import mean_interval

LEVEL = 0.95
SEED = 2026
SIZES = (6, 10, 20)
Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "exponential": (lambda rng, shape: rng.standard_exponential(shape), 1.0),
    "lognormal, sigma 1": (lambda rng, shape: rng.lognormal(0, 1, shape), math.exp(0.5)),
}


def covered_by_student(samples: NDArray[np.float64], mean: float) -> float:
    """Return the share of rows ``[S, n]`` whose Student's t interval holds the mean."""
    n = samples.shape[1]
    errors = samples.std(axis=1, ddof=1) / math.sqrt(n)
    reach = stdtrit(n - 1, (1 + LEVEL) / 2) * errors
    return float(np.mean(np.abs(samples.mean(axis=1) - mean) <= reach))


def measure(number: int) -> list[tuple[str, int, float, float]]:
    """Return rows of distribution, n, coverage of the report's interval, and of Student's t."""
    rows = []
    with Progress(console=Console(stderr=True)) as progress:
        work = progress.add_task("samples", total=number * len(SIZES) * len(DISTRIBUTIONS))
        for name, (draw, mean) in DISTRIBUTIONS.items():
            for n in SIZES:
                samples = draw(np.random.default_rng([SEED, n]), (number, n))
                held = 0
                for sample in samples:
                    low, high = mean_interval(sample, level=LEVEL)
                    held += low <= mean <= high
                    progress.advance(work)
                rows.append((name, n, held / number, covered_by_student(samples, mean)))
    return rows


def main() -> int:
    """Print the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rows = measure(number)
    error = math.sqrt(LEVEL * (1 - LEVEL) / number)
    print("| scores | n | bootstrap-t | Student's t |\n|---|---|---|---|")
    for name, n, ours, student in rows:
        print(f"| {name} | {n} | {ours:.1%} | {student:.1%} |")
    print(f"\n{number} samples each; standard error of {LEVEL:.0%}: {error:.1%}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
