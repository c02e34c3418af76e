"""What a tuning tries: its settings and its search space, from a command's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import optuna
from hydra import compose
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from seqbench.config import composition, searchpath, values
from seqbench.config.composition import compose_each
from seqbench.config.members import refuse_swept_twice
from seqbench.config.overrides import LOOKS, override_text, parse, parse_all
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused, unknown
from seqbench.registry.plugins import registry
from seqbench.tracking.address import locate

_PREFIX = "tune."
_DRAWN = ("recipe.", "model.")  # sections whose keys may be drawn: another task is another question


@dataclass(frozen=True)
class TuningSettings:
    """How candidates are drawn and judged, ``conf/tune.yaml``.

    Args:
        seeds: a candidate's score is the mean of the validation monitor over these.
        final_seeds: on which each model's best candidate is trained again.
        sampler: ``tpe`` (Bergstra et al. 2011) or ``random``.
        sampler_seed: of the sampler, for each model alike.
        space: overrides that are distributions.
    """

    seeds: list[int]
    final_seeds: list[int]
    sampler: Literal["tpe", "random"]
    sampler_seed: int
    space: list[str]

    def __post_init__(self) -> None:
        for key, seeds in (("tune.seeds", self.seeds), ("tune.final_seeds", self.final_seeds)):
            if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
                raise Refused(f"{key} must be different whole numbers from 0, not {seeds}")
        if shared := sorted(set(self.seeds) & set(self.final_seeds)):
            raise Refused(
                f"tune.final_seeds must be fresh: {shared[0]} is among tune.seeds {self.seeds}"
            )


@dataclass(frozen=True)
class Tuning:
    """A tuning as a command asks for it.

    Args:
        trials: candidates of each study.
        settings: how they are drawn and judged.
        studies: task and model of each.
        fixed: overrides of every trial.
        space: what is drawn, by key; the user's own entries included.
        own: keys of the space that the user has named.
    """

    trials: int
    settings: TuningSettings
    studies: list[tuple[str, str]]
    fixed: list[str]
    space: Mapping[str, BaseDistribution]
    own: frozenset[str]

    def space_of(self, model: str) -> dict[str, BaseDistribution]:
        """Return what of the space a model has; ``recipe.dropout`` acts on its ``dropout``."""
        known = {item.name for item in registry().get("model", model).source().parameters}
        needs = {key: key.removeprefix("model.") for key in self.space if key.startswith("model.")}
        needs["recipe.dropout"] = "dropout"
        return {
            key: distribution
            for key, distribution in self.space.items()
            if key not in needs or needs[key] in known
        }

    @cached_property
    def tracking(self) -> TrackingSettings:
        """Where its trials are logged."""
        return self.settings_of(*self.studies[0]).tracking

    @cached_property
    def folder(self) -> Path:
        """Where its studies are kept: beside the tracking store."""
        return locate(self.tracking.uri).state / "tuning"

    def settings_of(self, task: str, model: str) -> Settings:
        """Return what a study's trials have in common; drawn values and seed are the defaults'.

        Raises:
            Refused: a fixed override is wrong.
        """
        (composed,) = compose_each([[f"task={task}", f"model={model}", *self.fixed]])
        return composition.settings(composed)


def read_words(words: Sequence[str]) -> Tuning:
    """Read a command: ``trials=20 task=music model=lstm,gru recipe.lr=interval(1e-3,1e-2)``.

    Raises:
        Refused: a word is wrong, or nothing is left to tune.
    """
    own = [word.removeprefix(_PREFIX) for word in words if word.startswith(_PREFIX)]
    others = [word for word in words if not word.startswith((_PREFIX, "trials="))]
    trials = _trials([word for word in words if word.startswith("trials=")])
    settings = _settings(own)
    parsed = parse_all(others)
    refuse_swept_twice(parsed)
    choices: dict[str, list[str]] = {"task": [], "model": []}
    fixed: list[str] = []
    space: dict[str, BaseDistribution] = {}
    for item, word in zip(parsed, others, strict=True):
        key = item.key_or_group
        if key in choices:
            choices[key] = _chosen(item)
        elif key == "seed":
            raise Refused(f"{word}: a tuning takes its seeds from tune.seeds and tune.final_seeds")
        elif key == "rerun":
            raise Refused(f"{word}: a tuning judges each of its candidates once")
        elif key == LOOKS:
            raise Refused(f"{word}: a tuning looks once, after all of tune.final_seeds")
        elif item.is_sweep_override():
            if not key.startswith(_DRAWN):
                raise Refused(f"{word}: a tuning draws keys of recipe and model only, not {key}")
            space[key] = _distribution(item)
        else:
            fixed.append(word)
    asked = frozenset(space)
    given = {parse(word).key_or_group for word in fixed}
    if "match" in given:
        given.add("model.hidden_size")
    if "model.dropout" in given:
        given.add("recipe.dropout")  # which would change nothing
    for word in settings.space:
        item = parse(word)
        if item.key_or_group not in given | asked:
            space[item.key_or_group] = _distribution(item)
    composition.check_choices(others)
    if not choices["model"]:
        raise Refused("seqbench tune needs models, for example model=lstm,gru")
    for group, names in choices.items():
        if twice := [name for name, number in Counter(names).items() if number > 1]:
            raise Refused(f"{group}={','.join(names)} names {twice[0]} twice")
    tasks = choices["task"] or ["music"]
    studies = [(task, model) for task in tasks for model in choices["model"]]
    tuning = Tuning(trials, settings, studies, fixed, dict(sorted(space.items())), asked)
    for key in asked:
        if not any(key in tuning.space_of(model) for _, model in studies):
            compose_each([[f"model={studies[0][1]}", f"{key}=0"]])  # refuses a key that none has
            raise Refused(f"no model of this tuning has {key}")
    _check(tuning)
    return tuning


def _check(tuning: Tuning) -> None:
    """Refuse a study that has nothing to draw, or whose space reaches an impossible value."""
    keys, members = [], []
    for task, model in tuning.studies:
        space = tuning.space_of(model)
        if not space:
            raise Refused(
                f"nothing is left to tune of {model}: every key of the search space has a fixed "
                "value"
            )
        common = [f"task={task}", f"model={model}", *tuning.fixed]
        ends = [(key, value) for key, found in space.items() for value in _ends(found)]
        keys += ["", *(key for key, _ in ends)]
        members += [common, *([*common, f"{key}={override_text(value)}"] for key, value in ends)]
    for key, composed in zip(keys, compose_each(members), strict=True):
        try:
            composition.settings(composed)
        except Refused as refusal:
            if not key:
                raise
            raise Refused(f"the search space of {key} goes too far: {refusal}") from refusal


def _ends(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.low, distribution.high


def _trials(words: Sequence[str]) -> int:
    if not words:
        raise Refused("seqbench tune needs trials=N, the candidates of each model")
    text = words[-1].partition("=")[2]
    if not text.isdecimal() or int(text) < 1:
        raise Refused(f"trials must be a whole number of at least 1, not {text or 'nothing'}")
    return int(text)


def _settings(words: Sequence[str]) -> TuningSettings:
    searchpath.enable()
    known = {field.name: str(field.type) for field in fields(TuningSettings)}
    for word in words:
        key = word.partition("=")[0]
        if key not in known:
            raise unknown("key of tune", key, known)
    # Seeds may be written as in a sweep: tune.seeds=0,1
    listed = [_as_list(word) if word.startswith(("seeds=", "final_seeds=")) else word
              for word in words]  # fmt: skip
    try:
        with composition.hydra():
            node = compose("tune", listed)
    except Exception as error:
        raise composition.explain(error, listed) from error
    found: Any = OmegaConf.to_container(node, resolve=True)
    checked: dict[str, Any] = {}
    for key, annotation in known.items():
        try:
            checked[key] = values.fit(annotation, found[key])
        except ValueError as error:
            raise Refused(f"tune.{key} {error}") from error
    return TuningSettings(**checked)


def _as_list(word: str) -> str:
    key, _, value = word.partition("=")
    return word if value.startswith("[") else f"{key}=[{value}]"


def _chosen(item: Override) -> list[str]:
    value = item.value()
    return [str(name) for name in (value.list if isinstance(value, ChoiceSweep) else [value])]


def _distribution(item: Override) -> BaseDistribution:
    """Return the distribution that an override describes.

    Raises:
        Refused: it describes none.
    """
    value: Any = item.value()
    try:
        if isinstance(value, IntervalSweep):
            log = "log" in value.tags
            if isinstance(value.start, int) and isinstance(value.end, int):
                return IntDistribution(value.start, value.end, log=log)
            low, high = value.start, value.end
            if low is None or high is None:
                raise ValueError("an interval has two ends")
            return FloatDistribution(float(low), float(high), log=log)
        if isinstance(value, RangeSweep):
            start, stop, step = value.start or 0, value.stop, value.step or 1
            if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
                return IntDistribution(start, start + (stop - 1 - start) // step * step, step=step)
            raise ValueError("a range must be of whole numbers")
        if isinstance(value, ChoiceSweep):
            choices = [_plain(choice) for choice in value.list]
            if len(set(choices)) < len(choices):
                raise ValueError("the choices must be different ones")
            return CategoricalDistribution(choices)
    except (ValueError, TypeError) as error:
        raise Refused(f"{item.input_line}: {error}") from error
    raise Refused(
        f"{item.input_line} is no part of a search space: use interval(a,b), "
        "tag(log,interval(a,b)), range(a,b,step) or choice(a,b,...)"
    )


def distribution_text(distribution: BaseDistribution) -> str:
    """Return a distribution as a command says it."""
    ends = ",".join(override_text(value) for value in _ends(distribution))
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({ends})"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if isinstance(distribution, IntDistribution) and distribution.step > 1:
        return f"range({distribution.low},{distribution.high + 1},{distribution.step})"
    return f"tag(log,interval({ends}))" if distribution.log else f"interval({ends})"


def _plain(value: Any) -> Any:
    """Return a choice as Optuna keeps it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text.strip("'\"")


def make_sampler(settings: TuningSettings, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler that draws a candidate.

    It depends on the candidate's number and on the results before it, and on nothing else: a
    tuning that goes on after it was killed draws what it would have drawn.

    Args:
        settings: of the tuning.
        number: of the candidate in its study, from 0.
    """
    seed = settings.sampler_seed * 1_000_003 + number
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
