"""Tuning: equal budgets, the same candidates after a kill, the best on fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from seqbench.cli import main
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.identity import PROTOCOL
from seqbench.records import MetricInfo, TrialRecord
from seqbench.reporting.tuning import TunedModel, best_so_far, expected_best, print_tuning
from seqbench.sweeps.job import Outcome
from seqbench.sweeps.launchers import BasicLauncher
from seqbench.sweeps.plan import Plan
from seqbench.sweeps.run import Ran
from seqbench.tracking.notes import note_tuning
from seqbench.tracking.store import open_store
from seqbench.trials import run as run_module
from seqbench.tuning.run import _run, known_members
from seqbench.tuning.space import Tuning, distribution_text, read_words
from seqbench.tuning.study import Candidate, CandidateResult, Study, open_study, study_name

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


def test_what_would_change_nothing_is_not_drawn() -> None:
    assert "model.hidden_size" not in read_words([*WORDS, "match=params"]).space
    assert "recipe.dropout" not in read_words([*WORDS, "model.dropout=0.1"]).space


def test_a_distribution_is_told_as_it_was_given() -> None:
    words = ["recipe.lr=tag(log,interval(0.0001,0.01))", "recipe.dropout=interval(0.0,0.5)",
             "model.num_layers=range(1,4,2)", "recipe.batch_size=choice(8,16)"]  # fmt: skip
    space = read_words([*WORDS, *words]).space
    told = [f"{key}={distribution_text(value)}" for key, value in space.items()]
    assert {*words, "model.hidden_size=choice(64,128,256)"} == set(told)


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
        ([*WORDS, "recipe.lrr=interval(0.1,0.2)"], r"unknown key 'recipe\.lrr' \(did you mean"),
        (
            [*WORDS, "recipe.lr=interval(-1.0,1.0)"],
            r"space of recipe\.lr goes too far: .* not -1$",
        ),
        ([*WORDS, "recipe.schedule=choice(cosine,cosin)"], r"goes too far: .* not 'cosin'"),
        ([*WORDS, "recipe.batch_size=choice(8,8)"], "the choices must be different ones"),
        ([*WORDS, "task.split_seed=choice(0,1)"], "draws keys of recipe and model only"),
        ([*WORDS, "recipe=sgd,adamw"], "draws keys of recipe and model only, not recipe"),
        ([*WORDS, "rerun=always"], "judges each of its candidates once"),
        ([*WORDS, "match=parms"], r"match must be one of params, flops or null, not 'parms'"),
        ([*WORDS, "foo=1"], "unknown key 'foo'"),
        (["trials=2", "model=rnn,rnn"], "model=rnn,rnn names rnn twice"),
        (["trials=2", "model=rnm"], r"unknown model 'rnm' \(did you mean 'rnn'\?\)"),
        ([*WORDS, "recipe.lr=1", "recipe.dropout=0", "model.hidden_size=4"], "nothing is left"),
    ],
)
def test_mistakes_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        read_words(words)


def judge(candidate: Candidate) -> CandidateResult:
    """Score a candidate by a function of its own; a wide one fails."""
    if candidate["model.hidden_size"] == 256:
        return CandidateResult(math.nan, "the loss is nan")
    return CandidateResult(
        (math.log10(candidate["recipe.lr"]) + 2.5) ** 2 + candidate["recipe.dropout"]
    )


def candidates_of(
    tuning: Tuning, stop_after: int | None = None, at_once: int = 2
) -> list[Candidate]:
    """Run a study, stopped by an interrupt after some batches, and return what was drawn."""
    left = [10**6 if stop_after is None else stop_after]

    def evaluate(batch: Mapping[int, Candidate]) -> list[CandidateResult]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return [judge(candidate) for candidate in batch.values()]

    with open_study(tuning, "music", "rnn", "min") as study:
        try:
            study.run(at_once, evaluate)
        except KeyboardInterrupt:
            assert stop_after is not None
        return [trial.params for trial in study.optuna.trials]


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("random", marks=pytest.mark.slow)])
def test_a_killed_study_goes_on_as_if_it_had_not_been(
    sampler: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same candidates; those that were being judged are judged again, the budget is exact."""
    words = [*WORDS, f"tune.sampler={sampler}"]
    tuning = read_words([*words, "trials=16"])
    whole = candidates_of(tuning)
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    for batches in (0, 3, 1, 0):
        candidates_of(tuning, batches)
    assert whole == candidates_of(tuning)
    assert 16 == len(whole) == len({str(candidate) for candidate in whole})
    with open_study(tuning, "music", "rnn", "min") as study:
        scores = study.scores()
        assert 16 == len(scores)
        reasons = [result.reason for result in study.results() if result.reason]
        assert ["the loss is nan"] * sum(map(math.isnan, scores)) == reasons != []
        best = study.best()
        assert best is not None
        assert judge(best).score == min(score for score in scores if not math.isnan(score))
        assert set(best) == set(study.importances())
    more = candidates_of(read_words([*words, "trials=20"]))
    assert (20, whole) == (len(more), more[:16])
    with open_study(read_words([*words, "trials=6"]), "music", "rnn", "min") as study:
        assert scores[:6] == pytest.approx(study.scores(), nan_ok=True), "no more than was asked"


def test_a_candidate_is_kept_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it draws, a study holds no candidate without its values."""
    tuning = read_words(WORDS)
    with open_study(tuning, "music", "rnn", "min") as study:
        storage = study.optuna._storage
        for method in ("set_trial_param", "set_trial_state_values", "set_trial_user_attr"):
            monkeypatch.setattr(storage, method, lambda *_: pytest.fail("not in one piece"))
        study._draw(0)
        (trial,) = study.optuna.trials
        assert study.space.keys() == trial.params.keys()
        assert float(f"{trial.params['recipe.lr']:.4g}") == trial.params["recipe.lr"]


def test_candidates_that_cannot_be_trained_cost_nothing() -> None:
    """Without data every candidate is refused: the study is forgotten, and can be begun again."""
    tuning = read_words(WORDS)
    refused = CandidateResult(math.nan, "no data", refused=True)
    with (
        open_study(tuning, "music", "rnn", "min") as study,
        pytest.raises(Refused, match="no candidate of rnn can be trained: no data"),
    ):
        study.run(1, lambda batch: [refused] * len(batch))
    assert 6 == len(candidates_of(tuning))


def test_other_code_is_another_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of what has changed since are not compared with new ones."""
    tuning = read_words(WORDS)

    def study() -> Study:
        with open_study(tuning, "music", "rnn", "min") as opened:
            return opened

    before = study().name
    assert before == study().name
    monkeypatch.setattr("seqbench.identity.PROTOCOL", PROTOCOL + 1)
    assert before != study().name


@pytest.mark.parametrize(("patience", "runs"), [(60.0, 2), (-1.0, 1)])
def test_trials_of_another_process_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, patience: float, runs: int
) -> None:
    """They are no failures: a killed tuning's worker may end a moment later."""
    outcomes = [Outcome("ELSEWHERE", "another process runs it"), Outcome("FINISHED", monitor=2.0)]
    seen: list[int] = []

    def run_plan(found: Plan, *_: object) -> list[Ran]:
        seen.append(len(found.trials))
        return [Ran(item, outcomes[len(seen) - 1 + at]) for at, item in enumerate(found.trials)]

    monkeypatch.setattr("seqbench.tuning.run.run_plan", run_plan)
    monkeypatch.setattr("seqbench.tuning.run._PAUSE", 0.0)
    monkeypatch.setattr("seqbench.tuning.run._PATIENCE", patience)
    members = [["experiment=smoke", "tracking=none", f"seed={seed}"] for seed in (0, 1)]
    if patience < 0:
        with pytest.raises(Refused, match="1 trials of this tuning are being run by another"):
            _run(members, ["tune"], BasicLauncher())
    else:
        ran = _run(members, ["tune"], BasicLauncher())
        assert [outcomes[1]] * 2 == [item.outcome for item in ran]
    assert [2, 1][:runs] == seen


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


def test_a_trial_that_had_finished_before_tells_the_budget_too(folder: Path) -> None:
    """One that was run by hand, or chosen by a smaller tuning; nothing else of it changes."""
    store = open_store(TrackingSettings())
    record = TrialRecord(
        "key", "music", "rnn", 100, metrics={"test/nll": 1.0}, tuning="4 candidates"
    )
    run = store.start(record, {}, {})
    run.finish(record)
    note_tuning(run.run_id, TrackingSettings(tuning="8 candidates"))
    assert replace(record, tuning="8 candidates") == store.find(run.run_id).record


def test_best_so_far() -> None:
    """What failed is never the best."""
    found = best_so_far([math.nan, 2.0, math.nan, 3.0, 1.0], "min")
    assert [2.0, 2.0, 2.0, 1.0] == list(found[1:])
    assert math.isnan(found[0])
    assert 3.0 == best_so_far([2.0, 3.0, 1.0], "max")[-1]


def test_a_model_whose_candidates_all_failed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    failed = TunedModel("s", "music", "rnn", "nll", "min", [math.nan] * 4, 8, 90.0, {}, {})
    print_tuning([failed])
    out = capsys.readouterr().out
    assert "4, 4 failed" in out
    assert "1 min 30 s" in out
    assert "music rnn: every candidate failed" in out


@pytest.mark.slow
def test_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """Every model gets its candidates on every seed, and its best runs on the fresh seeds."""
    seen: list[Settings] = []

    def run(settings: Settings, _: object = None) -> TrialRecord:
        seen.append(settings)
        metric = MetricInfo("nll", "min")
        scores = {"test/nll": 1.0, "valid/nll": settings.recipe.dropout + settings.seed}
        return TrialRecord(
            "key", settings.task, settings.model, settings.seed,
            monitor=metric, primary=metric, metrics=scores,
        )  # fmt: skip

    monkeypatch.setattr(run_module, "run", run)
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
    assert "6 candidates x seeds 0, 1" in out
    assert "recipe.dropout=interval(0.0,0.6)" in out
    assert 24 == len(known_members(read_words(words[1:])))
    (picture,) = folder.glob("seqbench-runs/tuning/*.png")
    assert str(picture.relative_to(folder)) in out
    seen.clear()
    assert 0 == main(words)
    assert {100, 101, 102} == {item.seed for item in seen}, "no candidate is judged twice"


def test_stores_in_one_folder_have_their_own_studies() -> None:
    """As they have their own trials; those of the usual store and experiment keep their names."""
    words = ["trials=2", "task=music", "model=rnn", "experiment=smoke"]
    places: list[list[str]] = [
        [],
        ["tracking.uri=seqbench-runs/a.db"],
        ["tracking.uri=seqbench-runs/b.db"],
        ["tracking.experiment=another"],
        ["tracking.uri=http://one:5000"],
        ["tracking.uri=http://two:5000"],
    ]
    tunings = [read_words([*words, *place]) for place in places]
    names = [study_name(tuning, "music", "rnn") for tuning in tunings]
    assert len(places) == len(set(names))
    assert 1 == len({tuning.folder for tuning in tunings})
    usual = read_words([*words, "tracking.uri=seqbench-runs", "tracking.experiment=seqbench"])
    assert names[0] == study_name(usual, "music", "rnn")
