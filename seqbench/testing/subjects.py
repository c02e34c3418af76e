"""What is checked: a model with small sizes, a task with its data."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from seqbench.api import InputSpec, Model, OutputSpec, SequenceInput, Splits, Task, Visibility
from seqbench.errors import Refused
from seqbench.nn import zero_padding
from seqbench.registry.registration import Registration
from seqbench.registry.source import UNSET
from seqbench.testing.checklist import ConformanceError, require
from seqbench.testing.perturbation import make_predictor
from seqbench.training.predictor import Predictor

INPUTS, OUTPUTS = InputSpec(3), OutputSpec(2)
LENGTHS = (7, 1, 4, 6)
_DEPTHS = (1, 2, 3)
_SMALL = {"hidden_size": 16}
"""Sizes with which checks are quick, where a model takes them."""


@dataclass(frozen=True)
class ModelSubject:
    """A model that is checked.

    Args:
        model_class: the model.
        parameters: of the model, where its defaults will not do.
        registration: under which name it can be selected; None leaves out what needs that.
    """

    model_class: type[Model]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    registration: Registration | None = None

    def takes(self, name: str) -> bool:
        """Return whether the constructor has a parameter, or passes it on to a base class."""
        for base in self.model_class.__mro__:
            if "__init__" in vars(base):
                known = inspect.signature(base.__init__).parameters  # type: ignore[misc]
                if name in known:
                    return True
                kinds = {parameter.kind for parameter in known.values()}
                if inspect.Parameter.VAR_KEYWORD not in kinds:
                    return False
        return False

    def chosen(self, **changes: Any) -> dict[str, Any]:
        """Return parameters that make it small, those given, and changes that it takes."""
        small = {name: value for name, value in _SMALL.items() if self.takes(name)}
        return {**small, **self.parameters, **changes}

    @property
    def spec(self) -> InputSpec:
        """What its inputs look like: with flags of what is missing where it uses them itself."""
        return replace(INPUTS, missing=self.model_class.consumes_missingness)

    def inputs(self, dtype: torch.dtype = torch.float64) -> SequenceInput:
        """Return random sequences of several lengths, zero at padding."""
        generator = torch.Generator().manual_seed(0)
        lengths = torch.tensor(LENGTHS)
        shape = (len(LENGTHS), max(LENGTHS), INPUTS.size)
        values = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        inputs = SequenceInput(values, lengths)
        if self.spec.missing:
            observed = torch.rand(shape, generator=generator) < 0.7
            delta = 2 * torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)
            inputs = SequenceInput(
                values, lengths, observed & inputs.mask[..., None], zero_padding(delta, inputs.mask)
            )
        return inputs.with_values(zero_padding(values, inputs.mask))

    def predictor(self, visibility: Visibility, **changes: Any) -> Predictor:
        """Return it between the harness's scaling and head, in float64, every weight random."""
        chosen = self.chosen(**changes)
        return make_predictor(self.model_class, chosen, self.spec, OUTPUTS, visibility)

    def shapes(self) -> Iterator[dict[str, Any]]:
        """Yield depths and directions, where they can be chosen and are not given."""
        depths = _DEPTHS if self.takes("num_layers") else ()
        directions = (False, True) if self.takes("bidirectional") else ()
        for depth in () if "num_layers" in self.parameters else depths or (None,):
            for two in directions or (None,):
                shape = {"num_layers": depth, "bidirectional": two}
                yield {
                    name: value
                    for name, value in shape.items()
                    if value is not None and name not in self.parameters
                }
        if "num_layers" in self.parameters:
            yield {}


class TaskSubject:
    """A task that is checked.

    Args:
        task: constructed, not prepared.
        registration: under which name it can be selected; None leaves out what needs that.
        data: the folder of its data; None leaves out what would damage a copy of them.
    """

    def __init__(
        self, task: Task, registration: Registration | None = None, data: Path | None = None
    ) -> None:
        self.registration = registration
        self.data = data
        self._untouched = copy.deepcopy(task)
        self._task = task

    @cached_property
    def task(self) -> Task:
        """The task, prepared."""
        self._task.prepare()
        return self._task

    def fresh(self) -> Task:
        """Return a task with the same parameters that has prepared nothing yet."""
        return copy.deepcopy(self._untouched)

    @cached_property
    def another(self) -> Task:
        """A second task with the same parameters, prepared by itself."""
        found = self.fresh()
        found.prepare()
        return found

    def splits(self) -> Iterator[Splits]:
        """Yield the data of each fold."""
        for fold in self.task.folds():
            yield self.task.splits(fold)

    @cached_property
    def some(self) -> Splits:
        """The data of the first fold."""
        return next(self.splits())

    @property
    def has_steps(self) -> bool:
        """Whether it labels steps."""
        return self.task.visibility is not Visibility.SEQUENCE


def check_configuration(registration: Registration | None) -> str | None:
    """Check that what a user can configure is what the constructor takes.

    Raises:
        ConformanceError: they differ.
    """
    if registration is None:
        return "it has no name under which it could be selected"
    from seqbench.config import composition, searchpath

    kind, name = registration.kind, registration.name
    for parameter in registration.source().parameters:
        require(parameter.annotation, f"parameter {parameter.name} has no type", "a type for each")
        require(
            parameter.default != UNSET,
            f"parameter {parameter.name} has no default",
            "a default for each, so that a name alone selects it",
        )
    searchpath.enable()
    composed = composition.compose([f"{kind}={name}"])
    try:
        composition.settings(composed)
    except Refused as refused:
        raise ConformanceError(str(refused), "a configuration that its code takes") from refused
    given = set(composed[kind]) - {"name"}
    wanted = {parameter.name for parameter in registration.source().parameters}
    lacking = ", ".join(sorted(wanted - given))
    require(
        not lacking,
        f"the configuration lacks {lacking}",
        "a key for each parameter of the constructor",
    )
    return None


def check_parameter_docs(registration: Registration) -> None:
    """Check that docstrings say what each parameter of a constructor is.

    Raises:
        ConformanceError: one does not.
    """
    silent = [item.name for item in registration.source().parameters if not item.doc]
    require(
        not silent,
        f"nothing says what {', '.join(silent)} means",
        "a line for each parameter under Args: in the class's docstring",
    )
