"""Lowering a cell: from its class to what a compiled back end needs of it, a :class:`Structure`.

Lowering is the step of a compiler from what a person wrote to what a machine runs. Here it goes as
far as every compiled back end can share: the equations become graphs of elementwise operations,
names of gates become columns of one matrix of pre-activations, and weights are put in the order in
which they are multiplied. From there on each back end goes its own way.

A step is a product of the inputs, a product of each state that feeds back, and the pointwise
equations between them. Backwards, only the equations' derivative and the gradient of the states are
serial; the gradient of each weight is one product after the loop over time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from seqbench.nn.backends.equations import Equations, Unsupported, trace
from seqbench.nn.cell import Cell, Named, weight_name


@dataclass(frozen=True)
class Source:
    """What feeds back through weights into a range of pre-activations."""

    name: str
    start: int
    stop: int
    """The first slot that sees it, and the one after the last."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A cell as the engine sees it."""

    slots: tuple[str, ...]
    """Pre-activations in the order of their columns: input terms, sums, recurrent terms."""
    input_slots: int
    """The first so many slots have an input term."""
    states: tuple[str, ...]
    vectors: tuple[str, ...]
    fed: tuple[Source, ...]
    """States that feed back."""
    inner: tuple[Source, ...]
    """Values of the step itself that feed back, made by ``between``."""
    equations: Equations
    between: Equations | None

    def __str__(self) -> str:
        """Return what tells this structure from another."""
        parts = (self.slots, self.input_slots, self.states, self.vectors, self.fed, self.inner)
        return f"{parts} {self.equations} {self.between}"

    def weights(self, cell: Cell) -> list[Tensor]:
        """Return what the engine multiplies with, under autograd.

        Returns:
            The input weights ``[input_slots * H, F]``, their bias ``[input_slots * H]`` and for
            each of :attr:`fed` and :attr:`inner` its weights ``[(stop - start) * H, H]``.
        """
        order = [_gate_of(cell, slot) for slot in self.slots]
        weight, bias = cell.input_weight(order[: self.input_slots])
        if bias is None:
            bias = weight.new_zeros(len(weight))
        recurrent = [
            cell.recurrent_weight(source.name, order[source.start : source.stop])
            for source in (*self.fed, *self.inner)
        ]
        return [weight, bias, *recurrent]


def structure(cell: Cell, dtype: torch.dtype) -> Structure:
    """Trace a cell's equations.

    Raises:
        Unsupported: an operation of the equations is not elementwise, or cannot be traced.
    """
    before = _identity(cell)
    key = (dtype, before)
    if key not in _STRUCTURES:
        _TRACES[type(cell)] += 1
        if _TRACES[type(cell)] > MOST_TRACES:
            raise Unsupported("its equations change too often to be compiled each time")
        try:
            traced = _trace_cell(cell, dtype)
            if _identity(cell) != before:
                raise Unsupported("its equations change the cell")
            _STRUCTURES[key] = traced
        except Unsupported as error:
            _STRUCTURES[key] = Unsupported(str(error))  # without the frames that it refers to
    found = _STRUCTURES[key]
    if isinstance(found, Unsupported):
        raise Unsupported(str(found))
    return found


MOST_TRACES = 100
"""Structures of one class; beyond, a number that changes all the time is the likelier cause."""

_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module())) - {"training"}
_STRUCTURES: dict[Hashable, Structure | Unsupported] = {}
_TRACES: Counter[type[Cell]] = Counter()


def _identity(cell: Cell) -> Hashable:
    """Return all that the equations may use of a cell: the same for cells that share a structure.

    Raises:
        Unsupported: it has an attribute that may change without notice.
    """
    classes = type(cell).__mro__[: type(cell).__mro__.index(Cell)]
    code = [
        (name, _fingerprint(value))
        for kind in classes
        for name, value in vars(kind).items()
        if not name.startswith("__") and name != "_abc_impl"
    ]
    return (type(cell), tuple(code), _state_of(cell))


def _state_of(module: torch.nn.Module) -> Hashable:
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
    children = tuple((name, type(m), _state_of(m)) for name, m in module.named_children())
    if any(True for _ in module.buffers(recurse=False)):
        raise Unsupported("its equations may use a buffer")
    return (tuple((name, _fingerprint(value)) for name, value in sorted(own.items())), children)


def _fingerprint(value: Any) -> Hashable:
    if isinstance(value, tuple | list):
        return (type(value), tuple(_fingerprint(part) for part in value))
    if isinstance(value, Mapping):
        return (type(value), tuple((key, _fingerprint(part)) for key, part in value.items()))
    if isinstance(value, bool | int | float | str | None | torch.dtype) or callable(value):
        return (type(value), value)
    if isinstance(value, property | staticmethod | classmethod):
        return value
    raise Unsupported(f"its equations may use a {type(value).__name__}, which may change")


def refuse_second_derivative(backend: str) -> None:
    """Raise ``RuntimeError`` in a backward pass that is itself to be differentiated."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"double backward (create_graph=True) is not supported by backend={backend}; "
            "use backend=reference"
        )


def check_tensors(cell: Cell, values: Tensor) -> None:
    """Raise :class:`Unsupported` unless all is what the generated code takes it for."""
    hidden, gates = cell.hidden_size, len(cell.gates)
    expected: dict[str, tuple[int, ...]] = {"weight_ih": (gates * hidden, cell.input_size)}
    if cell.bias is not None:
        expected["bias"] = (gates * hidden,)
    for source, seen_by in cell.sources().items():
        expected[weight_name(source)] = (len(seen_by) * hidden, hidden)
    expected |= dict.fromkeys(cell.vectors, (hidden,))
    for name, shape in expected.items():
        tensor = getattr(cell, name)
        if tuple(tensor.shape) != shape:
            raise Unsupported(f"{name} is {list(tensor.shape)}, not {list(shape)}")
        if tensor.dtype != cell.weight_ih.dtype:
            raise Unsupported(f"{name} is {tensor.dtype}, weight_ih {cell.weight_ih.dtype}")
        if tensor.device != values.device:
            raise Unsupported(f"{name} is on {tensor.device}, the data on {values.device}")
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            raise Unsupported(f"{name} is a {type(tensor).__name__}")
    if type(values) not in (Tensor, torch.nn.Parameter):
        raise Unsupported(f"the data is a {type(values).__name__}")
    if is_functorch_wrapped_tensor(values) or is_functorch_wrapped_tensor(cell.weight_ih):
        raise Unsupported("torch.func transforms it")
    if torch._C._get_tracing_state() is not None:
        raise Unsupported("torch.jit traces it")


def _trace_cell(cell: Cell, dtype: torch.dtype) -> Structure:
    slots, states, vectors = cell.slots(), cell.states, tuple(cell.vectors)
    input_slots = len(cell.gates)

    def source(name: str) -> Source:
        seen = [
            i
            for i, slot in enumerate(slots)
            if i >= len(cell.separate) and _gate_of(cell, slot) in cell.sources()[name]
        ]
        if not seen:
            raise Unsupported(f"no gate sees {name}")
        return Source(name, seen[0], seen[-1] + 1)

    heard = {gate for seen_by in cell.sources().values() for gate in seen_by}
    for gate in cell.separate:
        if gate not in heard:
            raise Unsupported(f"nothing feeds back into the separate gate {gate}")
    fed = tuple(source(name) for name in cell.sources() if name not in cell.inner)
    inner = tuple(source(name) for name in cell.inner)

    def named(seen: Sequence[str], values: Sequence[Tensor]) -> tuple[Named, Named, Named]:
        slot_values = dict(zip(slots, values, strict=False))
        others = values[len(slots) :]
        return (
            Named(seen, [slot_values[slot] for slot in seen]),
            Named(states, others[: len(states)]),
            Named(vectors, others[len(states) :]),
        )

    def equations(*values: Tensor) -> list[Tensor]:
        return list(cell.pick_states(cell.equations(*named(slots, values))))

    def between(*values: Tensor) -> list[Tensor]:
        made = cell.between(*named(cell.early(), values))
        return [made[name] for name in cell.inner]

    counts = (len(slots), len(states) + len(vectors))
    # Of the real width, for equations may divide by it.
    example = torch.full((2, cell.hidden_size), 0.5, dtype=dtype)
    return Structure(
        slots,
        input_slots,
        states,
        vectors,
        fed,
        inner,
        trace(equations, counts, len(states), example),
        trace(between, counts, len(inner), example) if inner else None,
    )


def _gate_of(cell: Cell, slot: str) -> str:
    return slot if slot in cell.gates else slot[: -len("_x")]
