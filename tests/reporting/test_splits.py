"""Five disjoint test folds of one deal, taken together: new training and test data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from seqbench.reporting.columns_across import split_layout
from seqbench.reporting.comparison import compare
from seqbench.reporting.exports import markdown
from seqbench.reporting.forms import Form
from seqbench.reporting.page import Content, page
from seqbench.reporting.splits import SplitTable, split_tables, split_verdict
from seqbench.reporting.summary import summary
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial

Family = Callable[..., list[LoggedTrial]]
Unpictured = Callable[..., Content]


@pytest.fixture
def dealt(family: Family) -> Callable[..., list[LoggedTrial]]:
    """Make five splits: ``dealt(lstm=[8.5, ...], gru=[...])``, a mean on each."""

    def make(splits: Sequence[int] = range(5), **means: Sequence[float]) -> list[LoggedTrial]:
        runs = []
        for place, split in enumerate(splits):
            found = family(**{model: values[place] for model, values in means.items()})
            for run in found:
                run.config["task"]["split_seed"] = split
                run.tags["seqbench.data"] = f"data of {split}"  # type: ignore[index]
                run.record.train_groups = 60.0
                object.__setattr__(run, "run_id", f"{split}{run.run_id}"[:32])
            runs += found
        return runs

    return make


def together(runs: list[LoggedTrial]) -> list[SplitTable]:
    return split_tables(compare(make_trials(runs)))


APART = {"gru": [8.0, 8.1, 8.0, 8.05, 8.1], "lstm": [8.5, 8.52, 8.49, 8.52, 8.51]}


def test_nadeau_and_bengio_by_hand(dealt: Family) -> None:
    """A third as many test groups as training groups, and the t of four degrees of freedom."""
    (item,) = together(dealt(**APART))
    (pair,) = item.differences
    gaps = np.subtract(APART["gru"], APART["lstm"])
    assert gaps == pytest.approx(pair.of_splits)
    assert 20 / 60 == pytest.approx(item.test_share)
    error = math.sqrt((1 / 5 + 20 / 60) * gaps.var(ddof=1))
    reach = stats.t.ppf(0.975, 4) * error
    assert (gaps.mean() - reach, gaps.mean() + reach) == pytest.approx(pair.interval)
    assert 2 * stats.t.sf(-gaps.mean() / error, 4) == pytest.approx(pair.p)
    assert "gru" == item.best


def test_new_training_data_have_words_of_their_own(dealt: Family) -> None:
    (item,) = together(dealt(**APART))
    text = split_verdict(item)
    start = "On new training and test data of these sizes (music over task.split_seed=0 to 4)"
    assert text.startswith(f"{start} gru is best on average: better than lstm. lstm comes closest")
    assert "5 splits)." in text
    for words in ("this training set", "these test data", "new pieces"):
        assert words not in text


def test_what_splits_leave_open(dealt: Family) -> None:
    (item,) = together(dealt(gru=[8.0, 8.6, 8.3, 8.2, 8.4], lstm=[8.5, 8.1, 8.3, 8.4, 8.3]))
    text = split_verdict(item)
    assert "" == item.best
    assert "gru and lstm cannot be told apart. A difference of up to " in text
    assert "with a probability of 80%." in text


def test_three_variants_are_adjusted(dealt: Family) -> None:
    (item,) = together(dealt(**APART, rnn=[9.0, 9.1, 9.0, 9.1, 9.05]))
    assert ["gru", "gru", "lstm"] == [pair.one for pair in item.differences]
    ps = sorted(pair.p for pair in item.differences)
    adjusted = np.maximum.accumulate([3 * ps[0], 2 * ps[1], ps[2]])
    assert adjusted == pytest.approx(sorted(pair.p_holm for pair in item.differences))
    assert "better than each of the 2 others" in split_verdict(item)


@pytest.mark.parametrize("splits", [range(4), (0, 1, 2, 3, 5)])
def test_fewer_splits_or_those_of_two_deals_say_nothing(
    dealt: Family, splits: Sequence[int]
) -> None:
    assert [] == together(dealt(splits, **APART))


def test_the_second_deal_is_a_table_of_its_own(dealt: Family) -> None:
    found = together([*dealt(**APART), *dealt(range(5, 10), **APART)])
    assert ["music over task.split_seed=0 to 4", "music over task.split_seed=5 to 9"] == sorted(
        item.name for item in found
    )


def test_splits_without_a_plan_claim_nothing(dealt: Family) -> None:
    runs = dealt(**APART)
    del runs[0].tags["seqbench.plan"]  # type: ignore[attr-defined]
    (item,) = together(runs)
    assert "task.split_seed=0: the seeds of gru were not planned" in split_verdict(item)
    assert math.isnan(item.differences[0].p)
    assert "" == item.best


def test_several_looks_are_not_planned_for_splits(dealt: Family) -> None:
    runs = dealt(**APART)
    plan = json.dumps({"seeds": list(range(20)), "looks": [10, 20]})
    for run in runs:
        run.tags["seqbench.plan"] = plan  # type: ignore[index]
    (item,) = together(runs)
    assert "several looks are not planned for splits" == item.why_not


def test_trials_of_several_folds_test_all_groups_already(dealt: Family) -> None:
    runs = dealt(**APART)
    for run in runs:
        run.record.folds = [0, 1]
        run.record.metrics |= {"fold-0/nll": 8.0, "fold-1/nll": 8.0}
    assert [] == together(runs)


def test_sizes_of_the_training_data_must_be_known(dealt: Family) -> None:
    runs = dealt(**APART)
    for run in runs:
        run.record.train_groups = 0.0
    assert [] == together(runs)


def test_splits_stand_in_every_form(dealt: Family, content_of: Unpictured) -> None:
    trials = make_trials(dealt(**APART))
    tables = compare(trials)
    (item,) = split_tables(tables)
    content = content_of(trials, tables)
    for text in (page(content), markdown(content).replace("\\", "")):
        assert "gru is best on average: better than lstm." in text
        assert "gru - lstm" in text
    (line,) = split_layout(item, Form.PAGE).lines
    assert "-0.5000, -0.4200, -0.4900, -0.4700, -0.4100" == line.items[-1].text
    found = [table["over_splits"] for table in summary(tables)]
    assert 5 == len(found)
    assert all("gru" == splits["best"] for (splits,) in found)
