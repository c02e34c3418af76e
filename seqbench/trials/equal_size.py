"""``match=params|flops``: every model as large as the LSTM, so that size explains no difference.

The reference is ``lstm`` with its default parameters, and the trial's own ``num_layers`` where it
has one, on the same task. What is solved is ``model.hidden_size``; one that is given, on the
command line or by a file, stands.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig

from seqbench.config import composition
from seqbench.config.machine import data_folder
from seqbench.config.settings import Match, Settings
from seqbench.errors import Refused
from seqbench.identity import digest, identity
from seqbench.registry.plugins import registry
from seqbench.trials.looks import with_looks

if TYPE_CHECKING:
    from seqbench.api import InputSpec, OutputSpec, Visibility

REFERENCE = "lstm"
WIDTH = "hidden_size"
TOLERANCE = 0.02
"""By how much a size may differ from the reference's, as a share of it."""

_WIDEST = 2**14
_STRIDE = 64  # a model may take multiples of a number only; of none larger than this
_UNITS: dict[Match, str] = {"params": "parameters", "flops": "operations a sequence"}


@dataclass(frozen=True)
class Matched:
    """The width that brings a model nearest to the reference.

    Args:
        width: ``model.hidden_size``.
        size: of the model with it.
        wanted: size of the reference.
    """

    width: int
    size: int
    wanted: int

    @property
    def deviation(self) -> float:
        """By how much the model is larger than the reference, as a share of it."""
        return self.size / self.wanted - 1


class _Specs(NamedTuple):
    inputs: InputSpec
    outputs: OutputSpec
    visibility: Visibility


def trial_settings(composed: DictConfig, overrides: Sequence[str]) -> Settings:
    """Check a trial's configuration, and return it typed.

    It has the width that ``match`` asks for, and the plan of seeds that ``looks`` does.

    Args:
        composed: the configuration.
        overrides: that it was composed from.

    Raises:
        Refused: it is wrong, no width of the model matches, or no such looks can be planned.
    """
    settings = with_looks(composition.settings(composed), composition.looks(composed))
    measure = composition.match(composed)
    if measure is None or _is_given(settings, overrides):
        return settings
    if WIDTH not in settings.model_parameters:
        raise Refused(
            f"match={measure}: model={settings.model} has no {WIDTH} that could be solved; "
            "leave match out for it"
        )
    found = matched(settings, measure)
    if abs(found.deviation) > TOLERANCE:
        raise Refused(
            f"match={measure}: no {WIDTH} of model={settings.model} comes within "
            f"{TOLERANCE:.0%} of {REFERENCE}'s {found.wanted:,} {_UNITS[measure]}; the nearest is "
            f"{found.width} with {found.size:,} ({found.deviation:+.1%})"
        )
    return replace(settings, model_parameters={**settings.model_parameters, WIDTH: found.width})


def with_width(overrides: list[str], composed: DictConfig, settings: Settings) -> list[str]:
    """Return a trial's overrides with the width that :func:`trial_settings` has solved, if any.

    So what a plan has found reaches workers, and a person.
    """
    width = settings.model_parameters.get(WIDTH)
    if width == composed.model.get(WIDTH):
        return overrides
    return [*overrides, f"model.{WIDTH}={width}"]


def matched(settings: Settings, measure: Match) -> Matched:
    """Return the width that brings a trial's model nearest to the reference.

    The first time this imports torch and loads the task's data. What was found is kept in the data
    cache, and found anew when code, versions or data have changed.

    Args:
        settings: of the trial; its own ``model.hidden_size`` is of no account.
        measure: what is to agree.

    Raises:
        Refused: the data cannot be had, or the model cannot be built or counted.
    """
    lstm = registry().get("model", REFERENCE)
    reference = {parameter.name: parameter.default for parameter in lstm.source().parameters}
    if "num_layers" in settings.model_parameters:
        reference["num_layers"] = settings.model_parameters["num_layers"]
    own = {name: value for name, value in settings.model_parameters.items() if name != WIDTH}
    data = json.dumps([settings.task, settings.task_parameters, settings.recipe.max_examples])
    trial = identity(settings)
    asked = {
        "measure": measure,
        "data": [trial.config["task"], settings.recipe.max_examples],
        "model": [settings.model, own],
        "reference": [reference, lstm.code_hash],
        "parts": trial.parts,
    }
    path = data_folder() / "widths" / f"{digest(asked)}.json"
    found = _read(path)
    if found is None:
        specs = _specs(data)
        wanted = _size(measure, REFERENCE, reference, specs)
        assert wanted is not None
        width, size = nearest_width(
            lambda width: _size(measure, settings.model, {**own, WIDTH: width}, specs), wanted
        )
        if not size:
            raise Refused(f"match={measure}: model={settings.model} takes no {WIDTH} at all")
        found = Matched(width, size, wanted)
        _write(path, found)
    return found


def nearest_width(size: Callable[[int], int | None], wanted: int) -> tuple[int, int]:
    """Return the width whose size is nearest to a wanted one, and its size; (0, 0) without any.

    Args:
        size: of a width, growing with it; None for a width that a model does not take.
        wanted: the size to come near to.
    """

    @cache
    def from_here(width: int, step: int = 1) -> tuple[int, int]:
        """Return the next width from here on that is taken, and its size."""
        for near in range(width, width + step * _STRIDE, step):
            if near > 0 and (found := size(near)) is not None:
                return near, found
        return 0, 0

    above = 1
    while above < _WIDEST and from_here(above)[1] < wanted:
        above *= 2
    above = 1 + bisect_left(range(1, above), wanted, key=lambda width: from_here(width)[1])
    near = [from_here(above), from_here(above - 1, -1)]
    return min((pair for pair in near if pair[0]), key=lambda pair: abs(pair[1] - wanted),
               default=(0, 0))  # fmt: skip


def _is_given(settings: Settings, overrides: Sequence[str]) -> bool:
    """Return whether a word or a file says the width: then it is not the model's own default."""
    key = f"model.{WIDTH}"
    if any(word.lstrip("+").partition("=")[0] == key for word in overrides):
        return True
    option = settings.model
    for word in overrides:
        group, _, value = word.partition("=")
        option = value if group == "model" else option
    default = _default_width(option)
    return default is not None and default != settings.model_parameters.get(WIDTH)


@lru_cache
def _default_width(option: str) -> object:
    return composition.model_default(option, WIDTH)


def _size(measure: Match, model: str, parameters: dict[str, Any], specs: _Specs) -> int | None:
    """Return a model's size; None if it does not take its parameters.

    Raises:
        Refused: the model's code fails, or its operations cannot be counted.
    """
    from seqbench.training.size import Uncounted, countable, size
    from seqbench.trials.trial import blame

    registration = registry().get("model", model)
    model_class = registration.load()
    if measure == "flops":
        parameters = countable(parameters)
    try:
        with blame(registration, "counting its size"):
            return size(
                measure, model_class, parameters, specs.inputs, specs.outputs, specs.visibility
            )
    except Uncounted as error:
        raise Refused(f"match={measure}: model={model}: {error}") from error
    except Refused as error:
        if isinstance(error.__cause__, ValueError):
            return None
        raise


@lru_cache
def _specs(data: str) -> _Specs:
    """Return what inputs and predictions look like; tasks of a sweep are prepared once.

    Args:
        data: name, parameters and ``max_examples``, as JSON.
    """
    from seqbench.trials.trial import blame

    name, parameters, most = json.loads(data)
    registration = registry().get("task", name)
    task_class = registration.load()
    with blame(registration, "its constructor"):
        task = task_class(**parameters)
    with blame(registration, "its data"):
        task.prepare()
        train = task.splits(task.folds()[0]).train[:most]
        return _Specs(task.input_spec(train), task.output_spec(train), task.visibility)


def _read(path: Path) -> Matched | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Matched(**{key: int(value) for key, value in found.items()})
    except (OSError, ValueError, TypeError, AttributeError):  # none, or damaged
        return None


def _write(path: Path, found: Matched) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # what cannot be kept is found again
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(found)), encoding="utf-8")
        draft.replace(path)
