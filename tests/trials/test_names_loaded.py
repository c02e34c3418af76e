"""A loaded model reads tables by the names of their columns, and is that of a fold by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqbench
from seqbench.errors import Refused

Table = Callable[..., None]
Train = Callable[..., seqbench.Result]
ByFold = Callable[[seqbench.Result], dict[str, float]]


def test_load_takes_a_fold_by_number_or_name(train: Train, by_fold: ByFold) -> None:
    trained = train()
    run = trained.record.run_id
    for fold in ("valve", 1, "1"):
        model = seqbench.load(run, fold)
        assert (model.fold, model.fold_name) == (1, "valve")
        assert model.score() == {"error": by_fold(trained)["valve"]}
    for wrong in ("valv", 2, "2", -1, "", "pump.csv"):
        with pytest.raises(Refused, match=r"no model for fold .*it has: pump, valve"):
            seqbench.load(run, wrong)
    with pytest.raises(Refused, match=r"choose fold= of pump, valve"):
        seqbench.load(run)


def test_score_on_other_data_finds_the_fold_by_name(
    table: Table, train: Train, by_fold: ByFold
) -> None:
    trained = train()
    model = seqbench.load(trained.record.run_id, "valve")
    table("late/valve.csv", "bca", seed=1)
    with pytest.warns(UserWarning, match="lack pump"):
        assert model.score(source="late") == {"error": by_fold(trained)["valve"]}
    table("only/pump.csv")
    with (
        pytest.warns(UserWarning, match="lack valve"),
        pytest.raises(Refused, match="have no fold valve"),
    ):
        model.score(source="only")


@pytest.fixture
def model(train: Train) -> Any:
    return seqbench.load(train().record.run_id, "pump")


VALUES = np.arange(12.0).reshape(4, 3)


def test_a_frame_is_read_by_its_columns(model: Any) -> None:
    wanted = model.predict(VALUES)
    frame = pd.DataFrame(VALUES, columns=list("abc"))
    assert torch.equal(wanted, model.predict(frame))
    assert torch.equal(wanted, model.predict(frame[["c", "a", "b"]]))
    assert torch.equal(wanted[None], model.predict([frame[["b", "c", "a"]]]))
    assert torch.equal(wanted, model.predict(frame.set_index(pd.Index(list("wxyz")))))


def test_a_series_is_a_step(model: Any) -> None:
    frame = pd.DataFrame(VALUES, columns=list("abc"))[["c", "b", "a"]]
    state, found = None, torch.empty(0)
    for _, row in frame.iterrows():
        found, state = model.step(row, state)
    torch.testing.assert_close(model.predict(VALUES), found)
    found, _ = model.step(frame)  # four sequences of one step
    assert found.shape == (4, 1)


def test_columns_of_a_frame_that_do_not_fit(model: Any) -> None:
    cases: list[tuple[Sequence[object], str]] = [
        ("abd", "values: columns missing: c, new: d"),
        ("abcd", "values: columns new: d"),
        ("ab", "values: columns missing: c"),
        ("abb", "values: columns missing: c, new: b"),
        ([0, 1, 2], "values: columns missing: a, b, c, new: 0, 1, 2"),
        (["a", "b", "volum"], "values: columns missing: c, new: volum"),
    ]
    for columns, said in cases:
        frame = pd.DataFrame(np.zeros((4, len(columns))), columns=list(columns))
        with pytest.raises(Refused, match=re.escape(said)):
            model.predict(frame)


def test_a_column_of_texts(model: Any) -> None:
    frame = pd.DataFrame({"a": ["x"], "b": [0.0], "c": [0.0]})
    with pytest.raises(Refused, match="values must be an array of numbers"):
        model.predict(frame)


def test_features_made_of_columns_are_no_columns(train: Train) -> None:
    model = seqbench.load(train(derive=True).record.run_id, 0)
    with pytest.raises(Refused, match="the 6 features of a step are made of the columns a, b, c"):
        model.predict(pd.DataFrame(VALUES, columns=list("abc")))
