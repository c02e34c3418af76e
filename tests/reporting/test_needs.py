"""What a difference takes, told from trials whose variances are known."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from seqbench.errors import LONGEST
from seqbench.records import MetricInfo, TrialRecord
from seqbench.reporting.comparison import Practical
from seqbench.reporting.needs import needs
from seqbench.reporting.pilot import AskedVariant, PilotRuns, pilots
from seqbench.verdicts.planning import Variances, floor, seeds_needed

DRAWS = 400


def asked(name: str, seeds: int = 10, split: object = 0) -> AskedVariant:
    return AskedVariant(name, "music", name, {"task": {"split_seed": split}}, {}, seeds)


def tried(
    rng: np.random.Generator,
    mean: float,
    *,
    runs: int = 8,
    groups: int = 40,
    seed_sd: float = 0.1,
    group_sd: float = 0.5,
    failed: int = 0,
) -> dict[int, TrialRecord]:
    """Return records of a model whose score varies over seeds and test groups as it is asked."""
    draws = np.random.default_rng(3).integers(groups, size=(DRAWS, groups))  # of every model
    of_group = rng.normal(0, group_sd, groups)
    found = {}
    for seed in range(runs):
        scores = mean + of_group + rng.normal(0, seed_sd) + rng.normal(0, 1e-3, groups)
        found[seed] = TrialRecord(
            "key", "music", "lstm", seed,
            primary=MetricInfo("nll", "min", "nats"),
            metrics={"test/nll": float(scores.mean())},
            baselines={"unigram": {"nll": 9.0}, "bigram": {"nll": 8.5}},
            baseline_bootstrap={"unigram": [9.0] * DRAWS},
            group="piece",
            group_sizes=[1.0] * groups,
            bootstrap_scores=scores[draws].mean(axis=1).tolist(),
            train_groups=4.0 * groups,
        )  # fmt: skip
    for seed in range(runs, runs + failed):
        found[seed] = TrialRecord("key", "music", "lstm", seed, status="FAILED")
    return found


def two(seed: int = 0, splits: Sequence[object] = (0,), **how: float) -> dict[str, PilotRuns]:
    rng = np.random.default_rng(seed)
    found = {"lstm": PilotRuns(), "gru": PilotRuns()}
    for split in splits:
        shift = rng.normal(0, 0.05)
        for name, mean in (("lstm", 8.0), ("gru", 8.1 + shift)):
            found[name].by_split[split] = tried(rng, mean, **how)  # type: ignore[arg-type]
    return found


def ask(found: dict[str, PilotRuns], difference: float, seeds: int = 10) -> list[str]:
    lines = needs(
        "music", [asked(name, seeds) for name in found], found, Practical(difference, False)
    )
    assert all(len(line) < LONGEST for line in lines)
    return lines


def numbers(line: str) -> list[float]:
    return [float(text) for text in re.findall(r"\d+(?:\.\d+)?", line)]


def test_the_range_of_seeds_holds_what_the_true_variances_need() -> None:
    """In about eight of ten pilots; at least in half of these twenty."""
    truth = Variances(group=2 * 0.5**2, seeds_a=0.1**2, seeds_b=0.1**2, rest=0.0)
    needed = float(seeds_needed(0.6, 40, truth))
    limit = float(floor(40, truth))
    inside = [0, 0]
    for seed in range(20):
        first, second, *_ = ask(two(seed), 0.6)
        low, high = (*numbers(first.split("takes")[1]), *numbers(first.split("takes")[1]))[:2]
        inside[0] += low <= needed <= high
        least, most = numbers(second.split("less than")[1])[:2]
        inside[1] += least <= limit <= most
    assert inside[0] >= 10
    assert inside[1] >= 10


def test_no_number_of_seeds_passes_the_floor() -> None:
    """Where test groups are what varies; the sentence that says how many of them it takes stays."""
    first, second, third, *_ = ask(two(group_sd=2.0, groups=10, seed_sd=0.02), 0.05)
    assert first.startswith(
        "music: no number of seeds finds a difference of 0.0500 nats between lstm and gru on these "
        "10 test pieces"
    )
    assert "no number of seeds finds less than" in second
    assert numbers(second.split("less than")[1])[0] > 0.05
    assert "with 10 seeds of each it takes" in third
    assert numbers(third)[1] > 1000


def test_more_seeds_are_told_to_find_less() -> None:
    """The sentence is about as many seeds as the sweep asks for; of few, about ten."""
    found = two(seed_sd=0.5, group_sd=0.1)
    lines = {seeds: ask(found, 0.5, seeds)[1] for seeds in (3, 10, 40)}
    assert lines[3] == lines[10]
    assert lines[40].startswith("40 seeds of each find differences from ")
    assert numbers(lines[40])[1] < numbers(lines[10])[1]


def test_of_several_pairs_the_hardest_is_told() -> None:
    """At the level that Holm's adjustment leaves to one of them."""
    rng = np.random.default_rng(1)
    found = two(seed_sd=0.02)
    found["noisy"] = PilotRuns({0: tried(rng, 8.0, seed_sd=1.0)})
    lines = ask(found, 0.6)
    assert "and noisy (the hardest of 3 pairs)" in lines[0]
    assert "with Holm's adjustment for 3 pairs" in lines[-1]
    assert "8 runs of" in lines[-1]


def test_failures_are_of_the_pilot_too() -> None:
    """They count the weakest simple predictor's score, which makes the variance larger."""
    found = two()
    found["gru"].by_split[0] |= tried(np.random.default_rng(5), 8.1, runs=8, failed=2)
    (pilot,) = pilots([asked("lstm"), asked("gru")], found)
    (before,) = pilots([asked("lstm"), asked("gru")], two())
    assert (8, 10) == pilot.runs
    assert pilot.pair.parts is not None
    assert before.pair.parts is not None
    assert float(pilot.pair.parts.b) > 2 * float(before.pair.parts.b)


@pytest.mark.parametrize("runs", [0, 1])
def test_what_was_hardly_tried_tells_nothing(runs: int) -> None:
    found = two()
    found["gru"] = PilotRuns({0: tried(np.random.default_rng(0), 8.0, runs=runs)})
    assert [] == ask(found, 0.1)


def test_few_test_groups_are_said() -> None:
    (line,) = ask(two(groups=4), 0.1)
    assert "music: no number of seeds tells of new test data: 4 test groups, fewer than 5" == line


def test_splits() -> None:
    """Known from two splits on; one split says how to run five."""
    assert "task.split_seed=0,1,2,3,4 runs five" in ask(two(), 0.6)[3]
    line = ask(two(splits=range(5), seed_sd=0.05, group_sd=0.1), 0.4)[3]
    assert re.fullmatch(
        r"on new training data too it takes \d+( to \d+)? splits \(going by 5 splits\)", line
    )
    few = ask(two(splits=range(5), seed_sd=0.05, group_sd=0.1), 0.001)[3]
    assert "takes more than 50 splits, or none finds it" in few


def test_a_task_without_splits_says_nothing_of_them() -> None:
    found = {name: PilotRuns({None: runs.by_split[0]}) for name, runs in two().items()}
    variants = [asked("lstm", split=None), asked("gru", split=None)]
    lines = needs("music", variants, found, Practical(0.05, True))
    assert 4 == len(lines)
    assert "a difference of 0.4" in lines[0], "5% of a score of 8"
