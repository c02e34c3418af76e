"""The configuration: complete, checked, and every mistake one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

import seqbench.conf
from seqbench.config import composition, searchpath
from seqbench.config.settings import Recipe, Settings, TrackingSettings, TrainerSettings
from seqbench.errors import Refused
from seqbench.registry.plugins import DISABLED, add_plugin_file, registry
from seqbench.registry.registration import KINDS, Kind

CONF = Path(seqbench.conf.__file__).parent
SECTIONS = {"recipe": Recipe, "trainer": TrainerSettings, "tracking": TrackingSettings}
Plugin = Callable[..., Path]


def settings(*overrides: str) -> Settings:
    return composition.settings(composition.compose(overrides))


def yaml_keys(path: Path) -> dict[str, object]:
    from omegaconf import OmegaConf

    loaded = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


def test_default_trial_is_the_dataclasses_defaults() -> None:
    """With no overrides, sections equal the dataclasses', unless a tuned recipe says otherwise."""
    found = settings("~tuned") if (CONF / "tuned").is_dir() else settings()
    assert (Recipe(), TrainerSettings(), TrackingSettings()) == (
        found.recipe,
        found.trainer,
        found.tracking,
    )
    assert (found.task, found.model, found.seed) == ("music", "lstm", 0)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_has_every_key(section: str) -> None:
    """Each file of recipe, trainer and tracking names each field of its dataclass, no other."""
    files = sorted((CONF / section).glob("*.yaml"))
    assert len(files) >= 2
    for file in files:
        assert [field.name for field in fields(SECTIONS[section])] == list(yaml_keys(file))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("recipe/adamw", Recipe()),
        ("trainer/cpu", TrainerSettings()),
        ("trainer/gpu", TrainerSettings(accelerator="gpu")),
        ("tracking/local", TrackingSettings()),
        ("tracking/none", TrackingSettings(enabled=False)),
    ],
)
def test_yaml_says_what_the_dataclass_says(file: str, expected: object) -> None:
    assert asdict(expected) == yaml_keys(CONF / f"{file}.yaml")  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", KINDS)
def test_yaml_says_what_the_signature_says(kind: Kind) -> None:
    """Each built-in's YAML has its name, and the keys and defaults of its constructor."""
    for name in registry().names(kind):
        expected = searchpath.from_signature(registry().get(kind, name))
        found = yaml_keys(CONF / kind / f"{name}.yaml")
        if "defaults" not in found:  # then it is another name of a subtask
            assert expected == found


@pytest.mark.parametrize(
    ("override", "section", "key", "expected"),
    [
        ("recipe.lr=1e-3", "recipe", "lr", 0.001),
        ("recipe.lr=1", "recipe", "lr", 1.0),
        ("recipe.max_examples=5", "recipe", "max_examples", 5),
        ("trainer.precision=32", "trainer", "precision", "32"),
        ("trainer.progress=false", "trainer", "progress", False),
        ("tracking.experiment=2024", "tracking", "experiment", "2024"),
        ("tracking.uri=http://localhost:5000", "tracking", "uri", "http://localhost:5000"),
        ("model.hidden_size=3", "model_parameters", "hidden_size", 3),
        ("model.dropout=0", "model_parameters", "dropout", 0.0),
        ("task.source=./b c.mat", "task_parameters", "source", "./b c.mat"),
        ("recipe=sgd", "recipe", "optimizer", "sgd"),
        ("experiment=smoke", "recipe", "max_epochs", 1),
    ],
)
def test_overrides(
    override: str,
    section: str,
    key: str,
    expected: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b c.mat").touch()
    found = getattr(settings(override), section)
    value = found[key] if isinstance(found, dict) else getattr(found, key)
    assert expected == value
    assert type(expected) is type(value)


def test_order_of_precedence(distribution: Plugin) -> None:
    """The command line wins over the experiment, that over tuned values, those over the recipe."""
    tuned = "# @package _global_\nrecipe: {max_epochs: 50, patience: 3, lr: 0.5}\n"
    files = {"task/chorales.yaml": "name: music\n", "tuned/sgd/chorales.yaml": tuned}
    conf_package(distribution, "theta", files)
    assert settings("task=chorales").recipe == Recipe()
    found = settings("task=chorales", "recipe=sgd", "experiment=smoke", "recipe.lr=0.25").recipe
    assert ("sgd", 1, 3, 0.25) == (found.optimizer, found.max_epochs, found.patience, found.lr)


MISTAKES = [
    ("task=musik", "unknown task 'musik' (did you mean 'music'?); known: "),
    ("model=lstn", "unknown model 'lstn' (did you mean 'lstm'?); known: "),
    ("model=", "model= names no model; known: "),
    ("model=null", "unknown model 'null'; known: "),
    ("recipe=adam", "unknown recipe 'adam' (did you mean 'adamw'?); known: adamw, sgd"),
    ("modle=lstm", "unknown key 'modle' (did you mean 'model'?); known: "),
    ("sed=1", "unknown key 'sed' (did you mean 'seed'?); known: "),
    ("+foo=1", "unknown key 'foo'; known: "),
    (
        "model.hidden_sise=3",
        "unknown key 'model.hidden_sise' (did you mean 'model.hidden_size'?); model takes: ",
    ),
    ("+model.foo=3", "unknown key 'model.foo'; model takes: "),
    ("+recipe.foo=3", "unknown key 'recipe.foo'; recipe takes: "),
    ("task.grit=3", "unknown key 'task.grit' (did you mean 'task.grid'?); task takes: "),
    ("model.hidden_size.deeper=3", "unknown key 'model.hidden_size.deeper': model.hidden_size "),
    ("+model=gru", "+model=gru: 'model' is chosen already; leave out the +"),
    ("+seed=1", "+seed=1: 'seed' exists; leave out the +"),
    ("~model", "~model: a trial needs model; known: "),
    ("~recipe", "~recipe: a trial needs recipe; known: adamw, sgd"),
    ("~trainer", "~trainer: a trial needs trainer; known: cpu, gpu"),
    ("~recipe.lr", "the configuration has no recipe.lr: every trial needs its value"),
    (
        "model=[lstm,gru]",
        "model=[lstm,gru]: a trial takes one model; for a trial with each use -m model=lstm,gru",
    ),
    ("tuned=foo", "unknown tuned 'foo'; known: adamw/"),
    ("experiment=[smoke,nine]", "unknown experiment 'nine' (did you mean 'none'?); known: "),
    ("model.dropout=inf", "model.dropout must be a finite number, not inf"),
    ("task.source=[nan]", "task.source must be a finite number, not nan"),
    ("recipe.lr=abc", "recipe.lr must be a number, not 'abc'"),
    ("recipe.lr=0", "recipe.lr must be a positive number, not 0"),
    ("recipe.lr=nan", "recipe.lr must be a positive number, not nan"),
    (
        "recipe.lr=???",
        "the chosen recipe has no recipe.lr for model=lstm on task=music: choose another",
    ),
    ("recipe.lr=${foo}", "recipe.lr refers to the key 'foo', and there is no such key"),
    ("recipe.optimizer=adam", "recipe.optimizer must be one of adamw, sgd, not 'adam' (did you "),
    ("recipe.max_examples=None", "recipe.max_examples must be a whole number or null, not 'None'"),
    ("model.hidden_size=abc", "model.hidden_size must be a whole number, not 'abc'"),
    ("model.hidden_size=1.5", "model.hidden_size must be a whole number, not 1.5"),
    ("model.hidden_size=[1,2]", "model.hidden_size must be a whole number, not [1, 2]"),
    ("model.bidirectional=1", "model.bidirectional must be true or false, not 1"),
    ("task.grid=half", "task.grid must be one of quarter, sixteenth, not 'half'"),
    ("trainer.threads=0", "trainer.threads must be at least 1, not 0"),
    ("seed=abc", "seed must be a whole number, not 'abc'"),
    ("seed=-1", "seed must be in 0..4294967295, not -1"),
    ("music", "'music' is not key=value (did you mean task=music?)"),
    ("lstm", "'lstm' is not key=value (did you mean model=lstm?)"),
    ("nonsense", "'nonsense' is not key=value; see seqbench --help"),
    ("task.source=b=c[", "cannot read 'task.source=b=c[': a value with such characters"),
    ("model=lstm,gru", "model=lstm,gru gives several values: add -m"),
    ("model.name=lstn", "model.name: unknown model 'lstn' (did you mean 'lstm'?)"),
    ("model.name=", "model.name: unknown model ''; known:"),
    ("task.name=speech", "task.name=speech chooses no task; write task=speech"),
    ("model.name=gru", "model.name=gru chooses no model; write model=gru"),
    ("+task.name=data/classify", "chooses no task; write task=data/classify"),
    ("seed.a=1", "unknown key 'seed.a': seed has a value and no keys; write seed=VALUE"),
    ("recipe.lr.x=1", "unknown key 'recipe.lr.x': recipe.lr has a value and no keys"),
    ("recipe.lr.a.b=1", "unknown key 'recipe.lr.a.b': recipe.lr has a value and no keys"),
    ("model.hidden_size.x=1", "unknown key 'model.hidden_size.x': model.hidden_size has a value"),
    ("rerun.x=1", "unknown key 'rerun.x': rerun has a value and no keys; write rerun=VALUE"),
    ("hydra.foo=3", "hydra.foo"),
]


@pytest.mark.parametrize(("override", "message"), MISTAKES)
def test_mistakes(override: str, message: str) -> None:
    """Each mistake is one line that begins with the value, and names what is allowed."""
    with pytest.raises(Refused, match=re.escape(message)) as caught:
        settings(override)
    assert "\n" not in str(caught.value)


def test_choices_that_are_there() -> None:
    """An option of a subgroup and a list of experiments are chosen as Hydra means them."""
    assert settings("tuned=adamw/music") == settings()
    assert settings("experiment=[none,smoke]") == settings("experiment=smoke")
    composition.check_choices(["model=lstm,gru", "seed=range(0,3)", "task=glob(*)"])


def test_choices_of_a_sweep() -> None:
    with pytest.raises(Refused, match="a trial takes one model"):
        composition.check_choices(["model=[lstm,gru],rnn"])


def test_mistakes_beside_good_overrides() -> None:
    """The wrong one among several is found, in a sweep too, and a plugin's key is known."""
    error = ConfigCompositionException("what Hydra says")
    overrides = ["model=lstm,gru", "recipe.lr=0.1,0.2", "task=music,musik"]
    assert str(composition.explain(error, overrides)).startswith("unknown task 'musik'")
    with pytest.raises(Refused, match="unknown key 'model.atention_size'".replace(".", r"\.")):
        settings("model=attention_lstm", "model.atention_size=3")


def test_what_cannot_be_explained_is_said_in_one_line() -> None:
    error = ConfigCompositionException("two\n\tlines")
    assert str(composition.explain(error, ["seed=1"])) == "two lines"


def test_a_plugin_without_yaml_is_configured_from_its_signature(plugin: Plugin) -> None:
    plugin("alpha", "wide")
    found = settings("model=wide", "model.width=3")
    assert (found.model, found.model_parameters) == ("wide", {"width": 3, "rate": 0.5})
    with pytest.raises(Refused, match=re.escape("unknown key 'model.widht' (did you mean")):
        settings("model=wide", "model.widht=3")


def test_a_plugin_file_is_configured_from_its_signature(plugin: Plugin, tmp_path: Path) -> None:
    code = (plugin("unused", "other") / "unused_code.py").read_text()
    (tmp_path / "mycell.py").write_text(code.replace("Other", "Mycell"))
    add_plugin_file(str(tmp_path / "mycell.py"))
    assert settings("model=mycell", "model.rate=2").model_parameters == {"width": 8, "rate": 2.0}


def test_a_parameter_without_default_must_be_given(plugin: Plugin) -> None:
    folder = plugin("beta", "wide")
    code = (folder / "beta_code.py").read_text()
    (folder / "beta_code.py").write_text(code.replace("width: int = 8", "width: int"))
    with pytest.raises(Refused, match=re.escape("model.width has no default: give model.width=")):
        settings("model=wide")
    assert settings("model=wide", "model.width=3").model_parameters["width"] == 3


def test_parameters_that_a_configuration_cannot_hold(plugin: Plugin) -> None:
    """A default that is no plain value is the constructor's own affair, and breaks no command."""
    folder = plugin("zeta", "wide")
    code = (folder / "zeta_code.py").read_text()
    odd = "width: int = 8, pole=1j, rest=..., by={1: 2}, pair=[print]"
    (folder / "zeta_code.py").write_text(code.replace("width: int = 8", odd))
    assert {"name": "wide", "width": 8, "rate": 0.5} == searchpath.from_signature(
        registry().get("model", "wide")
    )
    assert settings("model=wide", "model.width=3").model_parameters["width"] == 3
    assert settings().model == "lstm"


def conf_package(distribution: Plugin, name: str, files: dict[str, str]) -> Path:
    package = {f"{name}_conf/{path}": text for path, text in files.items()}
    package[f"{name}_conf/__init__.py"] = ""
    return distribution(f"{name}-conf", package, f"[seqbench.conf]\n{name} = {name}_conf\n")


def test_yaml_of_a_plugin_wins_over_its_signature(plugin: Plugin, distribution: Plugin) -> None:
    plugin("gamma", "wide")
    yaml = "name: wide\nwidth: 99\nrate: 0.1\n"
    conf_package(distribution, "gamma", {"model/wide.yaml": yaml, "model/wider.yaml": yaml})
    assert settings("model=wide").model_parameters == {"width": 99, "rate": 0.1}
    assert settings("model=wider").model == "wide"


def test_yaml_without_code(distribution: Plugin) -> None:
    """A configuration that names no registered class is refused when it is selected, not before."""
    conf_package(distribution, "delta", {"model/ghost.yaml": "name: ghost\nsize: 3\n"})
    assert settings().model == "lstm"
    message = "the configuration of model=ghost has no code: unknown model 'ghost'; known: "
    with pytest.raises(Refused, match=re.escape(message)):
        settings("model=ghost")


def test_broken_yaml_of_a_plugin(distribution: Plugin) -> None:
    conf_package(distribution, "eta", {"model/bad.yaml": "name: [bad\n"})
    assert settings().model == "lstm"
    with pytest.raises(Refused, match=r"bad\.yaml") as caught:
        settings("model=bad")
    assert "\n" not in str(caught.value)


def test_configurations_of_a_disabled_plugin(
    plugin: Plugin, distribution: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are left out with the plugin, so that another's of the same name count."""
    plugin("iota", "wide")
    conf_package(distribution, "kappa", {"model/wide.yaml": "name: wide\nwidth: 99\n"})
    assert settings("model=wide").model_parameters["width"] == 99
    monkeypatch.setenv(DISABLED, "kappa")
    registry.cache_clear()
    assert settings("model=wide").model_parameters["width"] == 8


def test_configurations_that_are_not_there(distribution: Plugin) -> None:
    """An entry point of a missing package is a problem to list, and stops nothing."""
    distribution("lost", {}, "[seqbench.conf]\nlost = lost_conf\n")
    message = "plugin 'lost' (lost 1.0): its configurations, lost_conf, are not found"
    assert [message] == registry().problems
    assert settings().model == "lstm"
