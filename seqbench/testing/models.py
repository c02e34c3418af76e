"""What every model must keep, built-in or not: a list of checks on random ragged sequences."""

from __future__ import annotations

import inspect
import io
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqbench.api import Context, Model, SequenceInput, Visibility
from seqbench.nn import BackendName, Cell, backends_for, fallback, unroll
from seqbench.testing.checklist import Check, ConformanceError, require
from seqbench.testing.perturbation import (
    TOLERANCE,
    ignores_neighbours,
    ignores_padding,
    look_at,
    sees_no_hidden_step,
    sees_what_it_may,
)
from seqbench.testing.subjects import (
    INPUTS,
    LENGTHS,
    OUTPUTS,
    ModelSubject,
    check_configuration,
    check_parameter_docs,
)
from seqbench.training.predictor import Predictor

_SINGLE = 1e-3  # by which float32 and float64 may differ, relative
_IMPOSSIBLE: dict[str, tuple[object, ...]] = {
    "hidden_size": (0, -1),
    "num_layers": (0,),
    "dropout": (-0.1, 1.5),
}
"""Values of parameters of usual names that no model can take."""


def _shapes(subject: ModelSubject) -> None:
    """Sizes, and zeros at padding."""
    inputs = subject.inputs()
    contexts: tuple[Context, ...] = ("past", "all")
    for context in contexts:
        torch.manual_seed(0)
        model = subject.model_class(INPUTS.size, context, **subject.chosen()).double().eval()
        with torch.no_grad():
            encoding = model(inputs)
        batch, steps = inputs.mask.shape
        backward = encoding.backward_steps
        require(
            (backward is None) == (model.backward_size == 0),
            f"backward_steps is {'None' if backward is None else 'given'} and backward_size is "
            f"{model.backward_size}",
            "backward_steps and backward_size that agree: None and 0, or both given",
        )
        parts = [
            ("forward_steps", encoding.forward_steps, (batch, steps, model.forward_size)),
            ("final", encoding.final, (batch, model.final_size)),
        ]
        if backward is not None:
            parts.append(("backward_steps", backward, (batch, steps, model.backward_size)))
        for name, part, shape in parts:
            require(
                tuple(part.shape) == shape,
                f"{name} is {list(part.shape)}",
                f"{list(shape)}, as {name.split('_')[0]}_size says",
            )
            if part.dim() == 3:
                largest = float(part[~inputs.mask].abs().amax())
                require(
                    largest == 0,
                    f"{name} at padded steps are not zero (up to {largest:.1e})",
                    "zeros at padded steps, see seqbench.nn.zero_padding",
                )


def _finite(subject: ModelSubject) -> None:
    """Finite outputs, and a gradient for every weight in one visibility at least."""
    inputs = subject.inputs()
    reached: set[str] = set()
    weights: set[str] = set()
    for visibility in Visibility:
        predictor = subject.predictor(visibility)
        predictions = predictor(inputs)
        real = predictions[inputs.mask] if predictions.dim() == 3 else predictions
        require(
            real.isfinite().all(),
            f"a prediction is not finite ({visibility} visibility)",
            "finite predictions of finite inputs",
        )
        factors = torch.linspace(-1, 1, real.numel(), dtype=real.dtype).view(real.shape)
        (real.sin() * factors).sum().backward()
        for name, weight in predictor.model.named_parameters():
            weights.add(name)
            if weight.grad is not None:
                require(
                    weight.grad.isfinite().all(),
                    f"the gradient of {name} is not finite ({visibility} visibility)",
                    "finite gradients",
                )
                if weight.grad.any():
                    reached.add(name)
    missed = ", ".join(sorted(weights - reached))
    require(not missed, f"no gradient reaches {missed}", "a gradient for every weight")


def _padding(subject: ModelSubject) -> None:
    for visibility in Visibility:
        look_at(subject.predictor(visibility), subject.inputs(), ignores_padding)


def _batches(subject: ModelSubject) -> None:
    for visibility in Visibility:
        look_at(subject.predictor(visibility), subject.inputs(), ignores_neighbours)


def _future(subject: ModelSubject) -> None:
    for shape in subject.shapes():
        for visibility in (Visibility.NEXT, Visibility.ONLINE):
            _named(shape, subject.predictor(visibility, **shape), subject.inputs())


def _named(shape: Mapping[str, Any], predictor: Predictor, inputs: SequenceInput) -> None:
    try:
        look_at(predictor, inputs, sees_no_hidden_step)
    except ConformanceError as error:
        words = ", ".join(f"{name}={value}" for name, value in shape.items())
        where = f"{predictor.visibility} visibility" + (f", {words}" if words else "")
        raise ConformanceError(f"{error.seen} ({where})", error.expected) from error


def _reading(subject: ModelSubject) -> None:
    for visibility in Visibility:
        look_at(subject.predictor(visibility), subject.inputs(), sees_what_it_may)


def _determinism(subject: ModelSubject) -> None:
    """The harness seeds torch's generator alone: what others draw changes nothing."""
    built = []
    for seed in (0, 1):
        torch.manual_seed(0)
        random.seed(seed)
        np.random.seed(seed)
        built.append(subject.model_class(INPUTS.size, "past", **subject.chosen()))
    first, second = (model.state_dict() for model in built)
    for name, weight in first.items():
        require(
            torch.equal(weight, second[name]),
            f"{name} starts from other values though torch's seed is the same",
            "weights that are drawn by torch's generator alone",
        )
    inputs = subject.inputs(torch.float32)
    model = built[0].eval()
    with torch.no_grad():
        once, again = model(inputs).forward_steps, model(inputs).forward_steps
    require(
        torch.equal(once, again),
        "in evaluation the same batch gives other states the second time",
        "the same bits",
    )


def _state_dict(subject: ModelSubject) -> None:
    predictor = subject.predictor(Visibility.STEP)
    inputs = subject.inputs()
    stored = io.BytesIO()
    torch.save(predictor.state_dict(), stored)
    stored.seek(0)
    torch.manual_seed(1)
    chosen = subject.chosen()
    other = Predictor(subject.model_class, chosen, subject.spec, OUTPUTS, Visibility.STEP)
    other.double().eval().load_state_dict(torch.load(stored, weights_only=True))
    with torch.no_grad():
        largest = float((predictor(inputs) - other(inputs))[inputs.mask].abs().amax())
    require(
        largest == 0,
        f"predictions differ (by {largest:.1e}) after the weights were saved and loaded",
        "every weight and buffer in state_dict(): registered, not kept in a list or a plain tensor",
    )


def _cells(subject: ModelSubject) -> list[Cell]:
    """Return a cell of each class and input size that the model is made of, in float64."""
    modules = subject.predictor(Visibility.STEP).modules()
    found = {
        (type(module), module.input_size): module for module in modules if isinstance(module, Cell)
    }
    return list(found.values())


_NO_CELL = "it is not made of cells of seqbench.nn"


def _streaming(subject: ModelSubject) -> str | None:
    cells = _cells(subject)
    for cell in cells:
        values = torch.randn(2, 6, cell.input_size, dtype=torch.float64)
        with torch.no_grad():
            whole = unroll(cell, values, backend="reference").hidden
            state = cell.initial_state(2)
            for t in range(values.shape[1]):
                state = cell.step(values[:, t], state)
                largest = float((state[0] - whole[:, t]).abs().amax())
                require(
                    largest <= TOLERANCE,
                    f"{type(cell).__name__}.step at step {t} differs from the whole sequence "
                    f"(by {largest:.1e})",
                    "the same states step by step and over the whole sequence",
                )
    return None if cells else _NO_CELL


def _dtype(subject: ModelSubject) -> None:
    double = subject.predictor(Visibility.STEP)
    with torch.no_grad():
        expected = double(subject.inputs())
        require(
            expected.dtype == torch.float64,
            f"float64 inputs give {expected.dtype} predictions",
            "predictions of the type of weights and inputs",
        )
        found = double.float()(subject.inputs(torch.float32))
    require(
        found.dtype == torch.float32,
        f"float32 inputs give {found.dtype} predictions",
        "predictions of the type of weights and inputs",
    )
    mask = subject.inputs().mask
    difference = float((found.double() - expected)[mask].abs().amax())
    scale = max(1.0, float(expected[mask].abs().amax()))
    require(
        difference <= _SINGLE * scale,
        f"float32 predictions differ from float64 ones by {difference:.1e}",
        f"rounding: at most {_SINGLE:g} of the largest",
    )


def _backends(subject: ModelSubject) -> str | None:
    """Each back end that can run a cell against the loop that runs its equations as written."""
    cells = _cells(subject)
    reasons = []
    for cell in cells:
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            moved, values = cell.to(device), torch.zeros(1, 1, cell.input_size, device=device)
            default = fallback(moved, values, "auto")
            if default is not None:
                reasons.append(f"{type(cell).__name__} runs on the reference loop: {default}")
            names = [
                name
                for name in backends_for(type(cell), device)
                if name != "reference" and fallback(moved, values, name) is None
            ]
            if names:
                _compare_backends(moved, device, names)
    if reasons:
        return "; ".join(dict.fromkeys(reasons))
    return None if cells else _NO_CELL


def _compare_backends(cell: Cell, device: str, names: Sequence[BackendName]) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (4, 7, cell.input_size)
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64).to(device)
    lengths = torch.tensor(LENGTHS, device=device)

    def results(backend: BackendName) -> list[Tensor]:
        values = drawn.clone().requires_grad_()
        cell.zero_grad()
        hidden = unroll(cell, values, lengths, backend=backend).hidden
        torch.autograd.backward(hidden.sin().sum())
        gradients = [weight.grad for weight in cell.parameters() if weight.grad is not None]
        assert values.grad is not None
        return [hidden.detach(), values.grad, *(grad.clone() for grad in gradients)]

    expected = results("reference")
    for name in names:
        for one, other in zip(expected, results(name), strict=True):
            largest = float((one - other).abs().amax()) / max(1.0, float(one.abs().amax()))
            require(
                largest <= TOLERANCE,
                f"{type(cell).__name__} gives other states or gradients on backend={name} than on "
                f"the reference loop (by {largest:.1e})",
                "the same numbers from every back end",
            )


def _configuration(subject: ModelSubject) -> str | None:
    return check_configuration(subject.registration)


def _refusals(subject: ModelSubject) -> str | None:
    known = {name: values for name, values in _IMPOSSIBLE.items() if subject.takes(name)}
    for name, values in known.items():
        for value in values:
            try:
                subject.model_class(INPUTS.size, "past", **subject.chosen(**{name: value}))
            except ValueError:
                continue
            except Exception as error:
                seen = f"{name}={value} raises {type(error).__name__}"
                raise ConformanceError(seen, "ValueError with one clear line") from error
            raise ConformanceError(f"{name}={value} is taken", "ValueError with one clear line")
    return None if known else f"it has none of {', '.join(_IMPOSSIBLE)}"


def _documentation(subject: ModelSubject) -> None:
    require(inspect.getdoc(subject.model_class), "the class has no docstring", "what it is")
    citation = getattr(subject.model_class, "citation", "")
    require(
        isinstance(citation, str) and citation.strip(),
        "it has no citation",
        "citation: where it is published, or who made it",
    )
    if subject.registration is not None:
        check_parameter_docs(subject.registration)


MODEL_CHECKS: tuple[Check[ModelSubject], ...] = (
    Check("shapes", "encode returns what its sizes say, zero at padding", _shapes),
    Check("gradients", "outputs are finite and a gradient reaches every weight", _finite),
    Check("padding", "what stands at padded steps changes nothing", _padding),
    Check("batches", "a sequence is predicted alike alone and in a batch", _batches),
    Check("past and future", "no prediction sees what is hidden from it, 1-3 layers", _future),
    Check("reading", "predictions change with the steps that they may see", _reading),
    Check("determinism", "a seed gives the same weights, a batch the same states", _determinism),
    Check("state dict", "weights saved and loaded give the same predictions", _state_dict),
    Check("streaming", "step by step is the same as the whole sequence", _streaming),
    Check("dtype", "float32 and float64 are kept, and agree", _dtype),
    Check("back ends", "every back end of the engine gives the same numbers", _backends),
    Check("impossible values", "impossible parameters are refused with ValueError", _refusals),
    Check("configuration", "configuration and code have the same parameters", _configuration),
    Check("documentation", "class, parameters and source are described", _documentation),
)


def check_model(model_class: type[Model], **parameters: Any) -> None:
    """Check a model's contract, every check of :data:`MODEL_CHECKS`.

    Args:
        model_class: the model.
        parameters: of the model, where its defaults will not do.

    Raises:
        ConformanceError: a promise is broken; says what was seen and what was expected.
    """
    subject = ModelSubject(model_class, parameters)
    for check in MODEL_CHECKS:
        check.run(subject)
