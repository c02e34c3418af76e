"""The advice to leave out new columns: the printed word means them, and stands where it helps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import pytest
from omegaconf import OmegaConf

from seqbench.config.overrides import parse
from seqbench.errors import Refused
from seqbench.records import DataNames, MetricInfo, TrialRecord
from seqbench.trials.names import compare

KNOWN = ("a", "b")


def message(
    inputs: Sequence[Sequence[str]],
    dropped: Sequence[str] | None = (),
    kept: DataNames | None = None,
    outputs: tuple[str, ...] = ("x", "y"),
) -> str:
    """Return what is said of folds with these columns, to a run that knows ``a`` and ``b``."""
    metric = MetricInfo("error", "min")
    record = TrialRecord("key", "tables", "rnn", 0, monitor=metric, primary=metric)
    then = kept or DataNames(inputs=KNOWN, outputs=("x", "y"))
    found = {fold: DataNames(inputs=tuple(names), outputs=outputs)
             for fold, names in enumerate(inputs)}  # fmt: skip
    record.names = dict.fromkeys(found, then)
    with pytest.raises(Refused) as refusal:
        compare("run 1", record, found, {fold: fold for fold in found}, dropped)
    return str(refusal.value)


def advised(text: str) -> list[str]:
    """Return the columns that the printed word names, as a shell and Hydra read it."""
    found = re.search(r"; (['\"]?task\.drop=.*) goes on without (?:it|them)$", text)
    assert found is not None, text
    (word,) = shlex.split(found[1])
    override = parse(word)
    assert override.key_or_group == "task.drop"
    assert not override.is_sweep_override()
    value = override.value()
    assert isinstance(value, list)
    return list(OmegaConf.create([getattr(item, "text", item) for item in value]))


@pytest.mark.parametrize(
    "name",
    ["c", "a b", "x,y", "it's", '"q"', "[m/s]", "T in °C", "50%", "a=b", "null", "1", "a:b", "$x",
     "{x}", "back\\slash", "#", "a'b\"c", "漢", "${oops}", "~", "!x", "`ls`", "end\\", "(a)", "*"],
)  # fmt: skip
def test_the_word_means_the_column(name: str) -> None:
    """Whatever it is called, alone and beside what is dropped already."""
    assert advised(message([["a", "b", name]])) == [name]
    assert advised(message([["a", name, "b", "new"]])) == [name, "new"]
    assert advised(message([["a", "b", "new"]], dropped=[name])) == [name, "new"]


def test_one_word_for_all_folds() -> None:
    assert advised(message([["a", "b", "c"], ["a", "b", "d e"]])) == ["c", "d e"]
    assert advised(message([["a", "b"], ["a", "b", "d"], ["a", "b", "d"]])) == ["d"]


CASES: dict[str, tuple[Sequence[Sequence[str]], Sequence[str] | None, tuple[str, ...]]] = {
    "the task has no such parameter": ([["a", "b", "c"]], None, ("x", "y")),
    "no column is known": ([["c", "d"]], (), ("x", "y")),
    "a column is missing": ([["a", "c"]], (), ("x", "y")),
    "one fold lacks a column": ([["a", "b", "c"], ["a", "c"]], (), ("x", "y")),
    "the order is another": ([["b", "a", "c"]], (), ("x", "y")),
    "another name stands twice": ([["a", "b", "c", "c"]], (), ("x", "y")),
    "a known name stands twice": ([["a", "b", "b", "c"]], (), ("x", "y")),
    "classes are missing": ([["a", "b", "c"]], (), ("x",)),
    "classes are new": ([["a", "b", "c"]], (), ("x", "y", "z")),
    "columns agree, classes do not": ([["a", "b"]], (), ("x", "z")),
}


@pytest.mark.parametrize("case", CASES)
def test_no_advice_where_it_would_not_help(case: str) -> None:
    inputs, dropped, outputs = CASES[case]
    text = message(inputs, dropped, outputs=outputs)
    assert "task.drop" not in text
    assert len(text) <= 300
