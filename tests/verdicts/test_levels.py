"""The acceptance criteria of ``benchmarks/verdicts.py``, with a tenth of its draws.

Daily: settings of each criterion that are soon done. Nightly: all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
TENTH = 0.1
DAILY = 5
"""One in so many settings of every line, the first included."""
SLOW = ("E2, AUROC of patients", "planned looks, six models", "E3, ten test folds")


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import verdicts

        yield verdicts
        for name in ("verdicts", "verdict_levels", "verdict_tasks"):
            sys.modules.pop(name, None)


def _broken(benchmark: ModuleType, chosen: list) -> list[str]:
    rates = [(setting, setting.measure(TENTH)) for setting in chosen]
    return [str(line) for line in benchmark.table(rates, TENTH) if not line.held]


@pytest.mark.parametrize("criterion", range(1, 9))
def test_some_settings_of_a_criterion(benchmark: ModuleType, criterion: int) -> None:
    by_line: dict[str, list] = {}
    for setting in benchmark.settings():
        if setting.criterion == criterion and not setting.what.startswith(SLOW):
            by_line.setdefault(setting.what, []).append(setting)
    assert by_line
    chosen = [setting for found in by_line.values() for setting in found[::DAILY]]
    assert [] == _broken(benchmark, chosen)


@pytest.mark.nightly
@pytest.mark.parametrize("criterion", range(1, 9))
def test_every_setting_of_a_criterion(benchmark: ModuleType, criterion: int) -> None:
    chosen = [item for item in benchmark.settings() if item.criterion == criterion]
    assert [] == _broken(benchmark, chosen)


def test_a_rate_out_of_bounds_is_noticed(benchmark: ModuleType) -> None:
    """Beyond by two standard errors in one setting of twenty, by three in none."""
    one = benchmark.Setting(1, "what", lambda rng, draws: 0.0, (), 10_000, 0.0, 0.05)
    error = (0.05 * 0.95 / 10_000) ** 0.5

    def held(*beyond: float) -> bool:
        rates = [(one, 0.05 + by * error) for by in beyond]
        return benchmark.table(rates, 1.0)[0].held

    assert held(0.0, 1.9)
    assert not held(0.0, 2.1)
    assert held(2.9, *[1.9] * 19)
    assert not held(2.9, 2.9, *[1.9] * 19)
    assert not held(3.1, *[0.0] * 19)


def test_the_same_command_measures_the_same(benchmark: ModuleType) -> None:
    setting = next(benchmark.settings())
    assert setting.measure(0.01) == setting.measure(0.01)


def test_each_setting_has_draws_of_its_own(benchmark: ModuleType) -> None:
    everything = list(benchmark.settings())
    keys = {(item.what, item.rate.__name__, item.arguments) for item in everything}
    assert len(keys) == len(everything) > 200
