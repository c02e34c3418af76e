"""Tuning: equal budgets, the same candidates after a kill, the best on fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from seqbench import runner
from seqbench.cli import main
from seqbench.errors import Refused
from seqbench.records import MetricInfo, TrialRecord
from seqbench.reporting.tuning import expected_best
from seqbench.settings import Settings
from seqbench.tuning.space import Tuning, read_words
from seqbench.tuning.study import Candidate, open_study

WORDS = ["trials=6", "task=music", "model=rnn,gru"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_the_space_is_the_default_changed_by_the_command() -> None:
    tuning = read_words(
        [*WORDS, "recipe.lr=tag(log,interval(1e-4,1e-2))", "recipe.dropout=0.1", "tune.seeds=3,4",
         "model.num_layers=range(1,4)", "recipe.batch_size=choice(8,16)"]
    )  # fmt: skip
    assert (6, [3, 4]) == (tuning.trials, tuning.settings.seeds)
    assert [("music", "rnn"), ("music", "gru")] == tuning.studies
    assert ["recipe.dropout=0.1"] == tuning.fixed
    assert {
        "model.hidden_size": CategoricalDistribution([64, 128, 256]),
        "model.num_layers": IntDistribution(1, 3),
        "recipe.batch_size": CategoricalDistribution([8, 16]),
        "recipe.lr": FloatDistribution(1e-4, 1e-2, log=True),
    } == tuning.space


def test_a_key_that_a_model_lacks_is_left_out_for_it() -> None:
    tuning = read_words(["trials=1", "model=lstm,attention_lstm", "model.window=choice(8,16)"])
    assert "model.window" in tuning.space_of("attention_lstm")
    assert "model.window" not in tuning.space_of("lstm")


def test_sizes_that_are_matched_are_not_drawn() -> None:
    assert "model.hidden_size" not in read_words([*WORDS, "match=params"]).space


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=rnn"], "needs trials=N"),
        (["trials=0", "model=rnn"], "trials must be a whole number of at least 1, not 0"),
        (["trials=2"], "needs models"),
        ([*WORDS, "seed=1"], r"takes its seeds from tune\.seeds"),
        ([*WORDS, "tune.seed=1"], r"unknown key of tune 'seed' \(did you mean 'seeds'\?\)"),
        ([*WORDS, "tune.sampler=tpp"], r"tune\.sampler must be one of tpe, random, not 'tpp'"),
        ([*WORDS, "tune.final_seeds=1,5"], r"must be fresh: 1 is among tune\.seeds"),
        ([*WORDS, "tune.seeds=1,1"], r"tune\.seeds must be different whole numbers"),
        ([*WORDS, "model.hiden_size=choice(1,2)"], r"unknown key 'model\.hiden_size'"),
        ([*WORDS, "recipe.lr=interval(2,1)"], r"recipe\.lr=interval\(2,1\): "),
        ([*WORDS, "recipe.lr=glob(a*)"], r"is no part of a search space: use interval"),
        (["trials=2", "model=rnm"], r"unknown model 'rnm' \(did you mean 'rnn'\?\)"),
        ([*WORDS, "recipe.lr=1", "recipe.dropout=0", "model.hidden_size=4"], "nothing is left"),
    ],
)
def test_mistakes_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        read_words(words)


def judge(candidates: Sequence[Candidate]) -> list[float | str]:
    """Score candidates by a function of their own; wide ones fail."""
    return [
        "the loss is nan"
        if candidate["model.hidden_size"] == 256
        else (math.log10(candidate["recipe.lr"]) + 2.5) ** 2 + candidate["recipe.dropout"]
        for candidate in candidates
    ]


def candidates_of(tuning: Tuning, trials: int, stop_after: int | None = None) -> list[Candidate]:
    """Run a study, stopped by an interrupt after some batches, and return what was drawn."""
    left = [10**6 if stop_after is None else stop_after]

    def evaluate(candidates: Sequence[Candidate]) -> list[float | str]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return judge(candidates)

    with open_study(tuning, "music", "rnn", "min") as study:
        try:
            study.run(trials, 2, evaluate)
        except KeyboardInterrupt:
            assert stop_after is not None
        return [trial.params for trial in study.optuna.trials]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_killed_study_goes_on_as_if_it_had_not_been(
    sampler: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same candidates; those that were being judged are judged again, the budget is exact."""
    tuning = read_words([*WORDS, f"tune.sampler={sampler}"])
    whole = candidates_of(tuning, 16)
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    for batches in (0, 3, 1, 0):
        candidates_of(tuning, 16, batches)
    assert whole == candidates_of(tuning, 16)
    assert 16 == len(whole) == len({str(candidate) for candidate in whole})
    with open_study(tuning, "music", "rnn", "min") as study:
        scores = study.scores()
        assert 16 == len(scores)
        assert len(study.failures()) == sum(map(math.isnan, scores)) > 0
        best = study.best()
        assert best is not None
        assert judge([best]) == [min(score for score in scores if not math.isnan(score))]
        assert set(best) == set(study.importances())
    assert 20 == len(candidates_of(tuning, 20)), "four more"


def test_one_process_tunes_at_a_time() -> None:
    tuning = read_words(WORDS)
    with (
        open_study(tuning, "music", "rnn", "min"),
        pytest.raises(Refused, match="another process tunes rnn on music"),
        open_study(tuning, "music", "rnn", "min"),
    ):
        pass


def test_best_to_be_expected() -> None:
    """Of one candidate the mean, of many the best; what failed counts as a draw without a score."""
    mean, low, high = expected_best([3.0, 1.0, 2.0], "min")
    assert pytest.approx(2.0, abs=0.05) == mean[0]
    exact = 1 * 19 / 27 + 2 * 7 / 27 + 3 * 1 / 27  # the least of three draws out of three
    assert pytest.approx(exact, abs=0.05) == mean[2]
    assert (low <= mean).all()
    assert (mean <= high).all()
    best = expected_best([0.5, math.nan, 0.7], "max")[0]
    assert pytest.approx(0.6, abs=0.02) == best[0]
    assert best[0] < best[2] <= 0.7
    assert all(math.isnan(value) for value in expected_best([math.nan] * 2, "min")[0])


def test_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """Every model gets its candidates on every seed, and its best runs on the fresh seeds."""
    seen: list[Settings] = []

    def run(settings: Settings) -> TrialRecord:
        seen.append(settings)
        metric = MetricInfo("nll", "min")
        scores = {"test/nll": 1.0, "valid/nll": settings.recipe.dropout + settings.seed}
        return TrialRecord(
            "key", settings.task, settings.model, settings.seed,
            monitor=metric, primary=metric, metrics=scores,
        )  # fmt: skip

    monkeypatch.setattr(runner, "run", run)
    words = ["tune", *WORDS, "experiment=smoke", "tracking=none"]
    assert 0 == main(words)
    out = capsys.readouterr().out
    assert 2 * 6 * 2 + 2 * 3 == len(seen)
    for model in ("rnn", "gru"):
        tried = [item for item in seen if item.model == model and item.seed in (0, 1)]
        final = [item for item in seen if item.model == model and item.seed >= 100]
        assert ([0, 1] * 6, [100, 101, 102]) == (
            [item.seed for item in tried],
            [item.seed for item in final],
        )
        best = min(tried, key=lambda item: item.recipe.dropout)
        assert {best.recipe} == {item.recipe for item in final}
        assert {best.model_parameters["hidden_size"]} == {
            item.model_parameters["hidden_size"] for item in final
        }
        assert "6 candidates x seeds 0, 1, tpe with seed 0" in str(final[0].tracking.tuning)
    drawn = [[(item.recipe, item.seed) for item in seen if item.model == name and item.seed < 2]
             for name in ("rnn", "gru")]  # fmt: skip
    assert drawn[0] == drawn[1], "the same sampler, and here the same scores"
    assert "3 of 3" in out
    (picture,) = folder.glob("seqbench-runs/tuning/*.png")
    assert str(picture.relative_to(folder)) in out
    seen.clear()
    assert 0 == main(words)
    assert {100, 101, 102} == {item.seed for item in seen}, "no candidate is judged twice"
