"""Models of one size: which width they get, and when they get none."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from seqbench import cli
from seqbench.commands.plan import widths as widths_of_plan
from seqbench.config import searchpath
from seqbench.config.composition import compose, settings
from seqbench.config.settings import Match
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.registry.plugins import PLUGIN_FILES, add_plugin_file, registry
from seqbench.sweeps.plan import Planned, plan
from seqbench.trials import equal_size
from seqbench.trials.equal_size import Matched, matched, nearest_width
from seqbench.trials.trial import load

PLUGIN = """
from torch import nn

from seqbench.api import Encoding, Model


class {name}(Model):
    '''A model of a plugin.'''

    citation = "none"

    def __init__(self, input_size, context, *, {parameters}) -> None:
        super().__init__(input_size, context)
        {build}
        self.forward_size = self.final_size = self.size
        self.backward_size = 0

    def encode(self, inputs):
        states = self.run(inputs.values)
        return Encoding(states, None, states[:, -1])
"""
TORCH_LSTM = """self.size, self.lstm = hidden_size, nn.{kind}(input_size, hidden_size,
            batch_first=True, bias=True)
        self.run = lambda values: self.lstm(values)[0]"""
EMPTY = "self.size = input_size; self.run = lambda values: values"
COARSE = """
        if hidden_size % 60:
            raise ValueError("hidden_size must be a multiple of 60")
        self.size, self.run = hidden_size, nn.Linear(input_size, hidden_size)"""


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No plugin, no folder of configurations and no width that was solved before."""
    Plugins.instance()
    store = ConfigStore.instance()
    before = copy.deepcopy(store.repo)
    monkeypatch.setenv(PLUGIN_FILES, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(searchpath, "_own_folders", [])
    monkeypatch.setattr(equal_size, "data_folder", lambda: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registry.cache_clear()
    yield
    store.repo = before
    equal_size._default_width.cache_clear()
    registry.cache_clear()


def plugin(name: str, parameters: str, build: str) -> None:
    path = Path(f"{name}.py")
    path.write_text(PLUGIN.format(name=name.capitalize(), parameters=parameters, build=build))
    add_plugin_file(str(path))


def trials(*words: str) -> list[Planned]:
    return plan(["task=music", *words]).trials


def widths(*words: str) -> list[int]:
    return [item.settings.model_parameters["hidden_size"] for item in trials(*words)]  # type: ignore[union-attr]


def test_a_width_may_be_any_that_the_model_takes() -> None:
    """The nearest from below or above, wherever a model takes none in between."""
    assert (10, 100) == nearest_width(lambda width: width**2, 100)
    assert (10, 100) == nearest_width(lambda width: width**2, 109)
    assert (11, 121) == nearest_width(lambda width: width**2, 111)
    assert (1, 7) == nearest_width(lambda width: 7, 3)
    assert (48, 48) == nearest_width(lambda width: None if width % 16 else width, 55)
    assert (64, 64) == nearest_width(lambda width: None if width % 16 else width, 57)
    assert (0, 0) == nearest_width(lambda width: None, 9)


def test_parameters_agree() -> None:
    """Counted by hand for 88 inputs and outputs, the head included."""
    found = trials("model=lstm,gru,bilstm,rnn", "match=params")
    assert [128, 151, 80, 272] == [item.settings.model_parameters["hidden_size"] for item in found]  # type: ignore[union-attr]
    wanted = 4 * 128 * (88 + 128 + 1) + 88 * (128 + 1)
    sizes = [
        wanted,
        3 * 151 * (88 + 151 + 1) + 151 + 88 * (151 + 1),
        2 * 4 * 80 * (88 + 80 + 1) + 88 * (160 + 1),
        272 * (88 + 272 + 1) + 88 * (272 + 1),
    ]
    for item, size in zip(found, sizes, strict=True):
        assert item.settings is not None
        trial = load(item.settings)
        assert size == trial.predictor(trial.data()[0]).parameter_count
        assert abs(size / wanted - 1) < 0.02


def test_a_plan_says_which_widths_were_solved() -> None:
    """Also one that is the model's own already; not one that was given."""
    found = trials("model=lstm,gru", "seed=0,1", "match=params")
    assert ["match= gives music: hidden_size of lstm 128, gru 151"] == widths_of_plan(found)
    assert [] == widths_of_plan(trials("model=lstm,gru", "match=params", "model.hidden_size=100"))
    assert [] == widths_of_plan(trials("model=lstm,gru"))


@pytest.mark.slow
def test_operations_agree() -> None:
    """Counted by hand: two for each weight and step; biases and elementwise operations are none."""
    asked = settings(compose(["task=music", "model=gru"]))
    found = matched(asked, "flops")
    wanted = 2 * 64 * (4 * 128 * (88 + 128) + 88 * 128)
    assert wanted == found.wanted
    assert found.size == 2 * 64 * (3 * found.width * (88 + found.width) + 88 * found.width)
    assert abs(found.deviation) < 0.02
    speech = matched(settings(compose(["task=speech", "model=lstm"])), "flops")
    assert 128 == speech.width
    (inputs, outputs, _) = equal_size._specs.__wrapped__('["speech", {}, 4]')
    steps = 2 * 64 * 4 * 128 * (inputs.size + inputs.static_size + 128)
    assert speech.size == steps + 2 * outputs.size * 128, "a label of the sequence is made once"


def test_a_missing_value_counts_where_a_model_reads_it() -> None:
    """On every task, GRU-D's own inputs included."""
    asked = settings(compose(["task=health", "model=grud"]))
    measures: tuple[Match, ...] = ("params", "flops")
    for measure in measures:
        assert abs(matched(asked, measure).deviation) < 0.02


def test_the_reference_has_the_trials_depth() -> None:
    """And nothing else of it."""
    assert [128, 128] == widths("model=lstm", "model.num_layers=1,2", "match=params")
    assert [80] == widths("model=lstm", "model.bidirectional=true", "match=params")


def test_it_is_the_trial_that_one_writes_by_hand() -> None:
    solved, by_hand, other = (
        trials("model=gru", *words)[0]
        for words in (["match=params"], ["model.hidden_size=151"], ["match=null"])
    )
    assert identity(by_hand.settings) == identity(solved.settings)  # type: ignore[arg-type]
    assert "model.hidden_size=151" == solved.overrides[-1]
    assert identity(by_hand.settings) != identity(other.settings)  # type: ignore[arg-type]
    assert ["task=music", "model=gru", "match=null"] == other.overrides


def test_a_width_that_is_given_stands(tmp_path: Path) -> None:
    """On the command line, though it is the default; in a sweep; or in a file."""
    assert [128] == widths("model=gru", "model.hidden_size=128", "match=params")
    assert [8, 16] == widths("model=gru", "++model.hidden_size=8,16", "match=params")
    experiment = tmp_path / "mine" / "experiment" / "small.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text("# @package _global_\nmodel:\n  hidden_size: 9\n")
    searchpath.add_folder(tmp_path / "mine")
    assert [9] == widths("model=gru", "experiment=small", "match=params")


def test_what_cannot_match_is_impossible() -> None:
    """One line says the nearest; the other trials of the sweep are as they are."""
    plugin("empty", "rate: float = 0.5", EMPTY)
    plugin("coarse", "hidden_size: int = 100", COARSE)
    plugin("nothing", "hidden_size: int = 100", 'raise ValueError("no")')
    plugin("free", "hidden_size: int = 100", EMPTY)
    found = trials("model=empty,coarse,lstm,nothing,free", "match=params")
    states = [item.state for item in found]
    assert ["impossible", "impossible", "new", "impossible", "impossible"] == states
    assert found[0].reason.startswith("match=params: model=empty has no hidden_size")
    assert (
        "match=params: no hidden_size of model=coarse comes within 2% of lstm's 122,456 "
        "parameters; the nearest is 720 with 127,528 (+4.1%)"
    ) == found[1].reason
    assert "match=params: model=nothing takes no hidden_size at all" == found[3].reason
    assert "with 7,832 (-93.6%)" in found[4].reason
    (other,) = trials("model=free", "match=flops")
    assert "no matrix product" in other.reason


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_torchs_own_modules_have_one_bias_a_gate(kind: str, gates: int) -> None:
    """The second one, which torch adds, is no more of a model; a GRU's b_hn is."""
    plugin("own", "hidden_size: int = 100", TORCH_LSTM.format(kind=kind))
    asked = settings(compose(["task=music", "model=own"]))
    found = matched(asked, "params")
    width = found.width
    biases = gates * width + (width if kind == "GRU" else 0)
    assert found.size == gates * width * (88 + width) + biases + 88 * (width + 1)
    found = matched(asked, "flops")
    assert found.size == 2 * 64 * (gates * found.width * (88 + found.width) + 88 * found.width)


def test_a_typing_error_is_refused() -> None:
    (item,) = trials("match=parms")
    assert "match must be one of params, flops or null" in item.reason
    assert "did you mean 'params'" in item.reason


def test_what_was_solved_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And found anew where it is damaged, or the data are others."""
    asked = settings(compose(["task=music", "model=rnn"]))
    found = matched(asked, "params")
    (file,) = (tmp_path / "cache" / "widths").iterdir()
    calls: list[str] = []
    specs = equal_size._specs

    def watched(data: str) -> object:
        calls.append(data)
        return specs(data)

    monkeypatch.setattr(equal_size, "_specs", watched)
    assert found == matched(asked, "params")
    assert [] == calls
    file.write_text('{"width": 3')
    assert found == matched(asked, "params")
    assert 1 == len(calls)
    assert Matched(**equal_size.json.loads(file.read_text())) == found
    matched(settings(compose(["task=music", "model=rnn", "task.source=null"])), "params")
    matched(settings(compose(["task=music", "model=rnn", "recipe.max_examples=9"])), "params")
    assert 2 == len(calls)
    monkeypatch.setattr(equal_size, "data_folder", lambda: file)  # cannot be written
    assert found == matched(asked, "params")


def test_a_finished_sweep_is_planned_again_at_once(tmp_path: Path) -> None:
    """What was solved is kept: neither torch nor the task's data are loaded again."""
    words = ["model=lstm,gru,rnn,bilstm", f"seed={','.join(map(str, range(10)))}", "match=params"]
    expected = widths(*words)
    code = (
        "import sys; from pathlib import Path; from seqbench.trials import equal_size\n"
        f"equal_size.data_folder = lambda: Path({str(tmp_path / 'cache')!r})\n"
        "from seqbench.sweeps.plan import plan\n"
        f"found = plan({['task=music', *words]!r}).trials\n"
        "print([item.settings.model_parameters['hidden_size'] for item in found])\n"
        "print({'torch', 'mlflow', 'lightning'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [str(expected), "set()"] == done.stdout.splitlines()


@pytest.mark.slow
def test_a_single_trial_is_matched(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task=music", "experiment=smoke", "model=rnn", "match=params", "tracking=none"]
    assert 0 == cli.main([*words, "trainer.progress=false"])
    assert "122,216" in capsys.readouterr().out


def test_a_task_that_has_no_data_says_so() -> None:
    (item,) = trials("model=gru", "match=params", "task.source=nowhere.pkl")
    assert "impossible" == item.state
    assert "nowhere.pkl" in item.reason
    with pytest.raises(Refused, match="nowhere"):
        matched(settings(compose(["task=music", "task.source=nowhere.pkl"])), "params")
