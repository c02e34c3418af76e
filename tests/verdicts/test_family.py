"""Several models: what is claimed of each pair, and who is best."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from seqbench.verdicts.components import Estimate
from seqbench.verdicts.family import Claim, best, holm, is_best, judge, judge_pairs
from seqbench.verdicts.looks import Looks
from seqbench.verdicts.pair import Pair
from seqbench.verdicts.scores import Groups, Runs
from seqbench.verdicts.single_runs import SingleRuns

DF = 20.0


def pair(gain: float, chance: float = 0.5, p_single: float = 1.0, why_not: str = "") -> Pair:
    """A pair whose gain is in standard errors."""
    reach = 2.086
    new = Estimate(gain, gain - reach, gain + reach, 0.0, 1.0, DF)
    new = replace(new, p=float(new.p_of(0.0)))
    single = SingleRuns(chance, 0.0, 1.0, p_single, 1e-5)
    return Pair(new, new, single, why_not, None, None)


def claimed(*args: float, margin: float | None = None, alpha: float = 0.05) -> tuple[Claim, bool]:
    found = judge_pairs({("a", "b"): pair(*args)}, margin, alpha)["a", "b"]
    return found.claim, found.first


def test_holm_is_statsmodels() -> None:
    p = np.random.default_rng(0).random((20, 15)) ** 3
    expected = [multipletests(row, method="holm")[1] for row in p]
    assert np.allclose(expected, holm(p))


def test_holm_passes_over_what_was_not_tested() -> None:
    assert np.allclose([0.03, 0.06, np.nan, 0.06], holm([0.01, 0.04, np.nan, 0.03]), equal_nan=True)
    assert np.isnan(holm([np.nan])).all()
    assert 0 == holm([]).size


@pytest.mark.parametrize(
    ("gain", "chance", "p_single", "claim", "first"),
    [
        (4, 0.9, 0.01, Claim.BETTER, True),
        (-4, 0.1, 0.01, Claim.BETTER, False),
        (4, 0.9, 0.2, Claim.BETTER_ON_AVERAGE, True),
        (-4, 0.6, 0.2, Claim.BETTER_ON_AVERAGE, False),
        (1, 0.9, 0.01, Claim.USUALLY_BETTER, True),
        (1, 0.1, 0.01, Claim.USUALLY_BETTER, False),
        (4, 0.1, 0.01, Claim.OPPOSED, True),
        (-4, 0.9, 0.01, Claim.OPPOSED, False),
        (1, 0.6, 0.2, Claim.OPEN, True),
    ],
)
def test_words(gain: float, chance: float, p_single: float, claim: Claim, first: bool) -> None:
    assert (claim, first) == claimed(gain, chance, p_single)


def test_equivalence_is_said_where_nothing_else_is() -> None:
    assert Claim.EQUIVALENT == claimed(0.1, margin=3.0)[0]
    assert Claim.OPEN == claimed(0.1, margin=1.0)[0]
    better = judge_pairs({("a", "b"): pair(4, 0.9, 0.01)}, margin=9.0)["a", "b"]
    assert (Claim.BETTER, True, False) == (better.claim, better.equivalent, better.beyond)
    far = judge_pairs({("a", "b"): pair(-9, 0.1, 0.01)}, margin=3.0)["a", "b"]
    assert (Claim.BETTER, False, True) == (far.claim, far.equivalent, far.beyond)
    near = judge_pairs({("a", "b"): pair(4, 0.9, 0.01)}, margin=3.0)["a", "b"]
    assert not near.beyond
    assert not near.equivalent


def test_equivalence_is_the_interval_within_the_margin() -> None:
    """Of one pair: the 90% interval. Of several: Holm's."""
    reach = 1.7247  # t of 20 at .95
    inside, outside = 1.0 + reach + 1e-3, 1.0 + reach - 1e-3
    assert Claim.EQUIVALENT == claimed(1.0, margin=inside)[0]
    assert Claim.OPEN == claimed(1.0, margin=outside)[0]
    two = {("a", "b"): pair(1.0), ("a", "c"): pair(1.0)}
    assert not judge_pairs(two, inside)["a", "b"].equivalent


def test_claims_have_holms_adjustment_over_the_pairs() -> None:
    one = pair(2.5, 0.9, 0.04)
    assert Claim.BETTER == judge_pairs({("a", "b"): one})["a", "b"].claim
    many = {("a", "b"): one, ("a", "c"): pair(0.1), ("b", "c"): pair(0.2)}
    found = judge_pairs(many)["a", "b"]
    assert Claim.OPEN == found.claim
    assert np.isclose(3 * one.on_new_data.p, found.p_new)
    assert np.isclose(3 * one.on_new_data.p, found.p_these)
    assert np.isclose(3 * 0.04, found.p_single)


def test_a_pair_without_a_verdict_does_not_count() -> None:
    few = pair(9, 1.0, 0.001, "4 test groups, fewer than 5")
    found = judge_pairs({("a", "b"): few, ("a", "c"): pair(2.5, 0.9, 0.04)}, margin=1.0)
    assert Claim.NO_VERDICT == found["a", "b"].claim
    assert math.isnan(found["a", "b"].p_new)
    assert not found["a", "b"].equivalent
    assert not found["a", "b"].beyond
    assert Claim.BETTER == found["a", "c"].claim


def _pairs(gains: dict[str, float], **of: Pair) -> dict[tuple[str, str], Pair]:
    names = list(gains)
    return {
        (a, b): of.get(
            a + b, pair(gains[a] - gains[b], 0.5 + math.copysign(0.4, gains[a] - gains[b]), 0.01)
        )
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }


@pytest.mark.parametrize("order", ["abc", "bca", "cba"])
def test_best_beats_each_other_one(order: str) -> None:
    """Wherever it stands, at unadjusted p."""
    means = {"a": 0.0, "b": 2.4, "c": 0.1}
    found = best(_pairs({name: means[name] for name in order}), margin=1.0)
    assert ("b", True) == (found.name, found.single)
    assert np.isclose(2.3, found.gain)
    assert (False, True) == (found.beyond, found.estimated_beyond)


def test_no_best() -> None:
    assert best(_pairs({"a": 0.0, "b": 2.4, "c": 1.0})) is None
    assert best({}) is None
    lacking = _pairs({"a": 9.0, "b": 0.0, "c": 0.0}, ac=pair(9, 1, 0.01, "no groups"))
    assert best(lacking) is None
    missing = _pairs({"a": 9.0, "b": 0.0, "c": 0.0})
    del missing["a", "c"]
    assert best(missing) is None


def test_best_says_whether_single_runs_and_margins_agree() -> None:
    found = best(_pairs({"a": 9.0, "b": 0.0, "c": 0.0}, ab=pair(9, 0.6, 0.4)), margin=4.0)
    assert (False, True) == (found.single, found.beyond)


def test_best_of_many_families_is_best_of_each() -> None:
    rng = np.random.default_rng(1)
    names, found = "abcd", []
    means = rng.standard_normal((40, 4)) * 3
    means[:20, 0] += 5
    p = np.ones((40, 4, 4))
    gain = means[:, :, None] - means[:, None]
    for place in range(40):
        pairs = _pairs(dict(zip(names, means[place], strict=True)))
        for (a, b), item in pairs.items():
            i, j = names.index(a), names.index(b)
            p[place, i, j] = p[place, j, i] = item.on_new_data.p
        winner = best(pairs)
        found.append([winner is not None and winner.name == name for name in names])
    assert (np.array(found) == is_best(p, gain)).all()
    assert 20 <= np.sum(found) < 40


def _models(means: list[float], seed: int = 0, n: int = 10) -> dict[str, Runs]:
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(400) * 0.2
    models = {}
    for place, mean in enumerate(means):
        scores = mean + 0.1 * rng.standard_normal(n)
        drawn = scores[:, None] + shared + 0.1 * rng.standard_normal((n, 400))
        models[f"m{place}"] = Runs(scores, drawn)
    return models


def test_judge_from_runs() -> None:
    models = _models([1.0, 0.0, 0.0])
    models["baseline"] = Runs(np.array([-2.0]), np.full((1, 400), -2.0), fixed=True)
    found = judge(models, Groups(20), margin=0.3)
    assert 6 == len(found.findings)
    assert ("m0", True, True) == (found.best.name, found.best.single, found.best.beyond)
    assert Claim.BETTER == found.findings["m0", "m1"].claim
    assert Claim.EQUIVALENT == found.findings["m1", "m2"].claim
    assert Claim.BETTER == found.findings["m1", "baseline"].claim


@pytest.mark.parametrize("n", range(2, 25))
def test_an_unplanned_look_yields_no_claim(n: int) -> None:
    """However far the models are apart."""
    looks = Looks.planned((6, 10, 14, 20))
    found = judge(_models([9.0, 0.0], n=n), Groups(20), margin=1.0, alpha=looks.level_at(n))
    assert (found.findings["m0", "m1"].claim == Claim.BETTER) == (n in looks.numbers)
    assert (found.best is not None) == (n in looks.numbers)
