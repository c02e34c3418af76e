"""The contract of a recurrent cell: its equations, from which the rest is derived.

Legend of shapes: B sequences, T steps, F input features, H hidden units, G gates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqbench.errors import did_you_mean
from seqbench.nn.init import init_gates

State = tuple[Tensor, ...]
"""What a cell carries from step to step, each ``[B, H]``, in the order of :attr:`Cell.states`."""


class Named:
    """Tensors by name, as attributes: ``a.f`` is the forget gate's pre-activation."""

    def __init__(self, names: Iterable[str], tensors: Iterable[Tensor]) -> None:
        self._tensors = dict(zip(names, tensors, strict=True))

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self.__dict__["_tensors"][name]  # type: ignore[no-any-return]
        except KeyError:
            known = ", ".join(self.__dict__.get("_tensors", ())) or "nothing"
            raise AttributeError(f"no '{name}' among the names here: {known}") from None


class Cell(nn.Module, ABC):
    """One time step of a recurrent network, given by its equations.

    A subclass names its gates, states and vectors and writes :meth:`equations`; weights,
    initialisation, the loop over time with its back ends, masking and counts follow from these. A
    gate here is any block of weights, a candidate too. Each gate's pre-activation is
    ``W x + b + U h``, with one bias.

    The equations are traced, and then compiled: they must be pure, treat each sequence alike
    whatever the batch, and write nothing in place. Numbers of the cell that they use
    (``self.slope``) may change between two runs; what they use from outside the class may not.

    Args:
        input_size: F.
        hidden_size: H.

    Attributes:
        weight_ih: ``[G * H, F]``, gates stacked in the order of :attr:`gates`.
        weight_hh: ``[k * H, H]`` for the k gates that see h; another state or inner value ``s``
            that feeds back has its own ``recurrent_s``.
        bias: ``[G * H]``, or None.
    """

    bias: nn.Parameter | None
    gates: ClassVar[tuple[str, ...]]
    """Names of the blocks of weights."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of what is carried from step to step; the hidden state, which is the output, first."""
    vectors: ClassVar[Mapping[str, float]] = {}
    """Names of learned vectors ``[H]``, with the value that each starts from."""
    bias_init: ClassVar[Mapping[str, float]] = {}
    """Gates whose bias does not start from zero, see :mod:`seqbench.nn.init`."""
    has_bias: ClassVar[bool] = True
    separate: ClassVar[tuple[str, ...]] = ()
    """Gates ``g`` that the equations see as two terms, ``a.g_x`` = W x + b and ``a.g_h`` = U h."""
    feedback: ClassVar[Mapping[str, tuple[str, ...]] | None] = None
    """States that feed back through weights, with the gates that see them; None: h, seen by
    every gate."""
    inner: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Values made by :meth:`between` that feed back through weights within the same step, with the
    gates that see them."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self._check_names()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(len(self.gates) * hidden_size, input_size))
        init_gates(self.weight_ih, len(self.gates), nn.init.xavier_uniform_)
        for source, seen_by in self.sources().items():
            weight = nn.Parameter(torch.empty(len(seen_by) * hidden_size, hidden_size))
            init_gates(weight, len(seen_by), nn.init.orthogonal_)
            self.register_parameter(weight_name(source), weight)
        bias = None
        if self.has_bias:
            starts = torch.tensor([float(self.bias_init.get(gate, 0)) for gate in self.gates])
            bias = nn.Parameter(starts.repeat_interleave(hidden_size))
        self.register_parameter("bias", bias)
        for name, start in self.vectors.items():
            self.register_parameter(name, nn.Parameter(torch.full((hidden_size,), float(start))))

    @abstractmethod
    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Return the new states by name, and any gates worth looking at.

        Args:
            a: pre-activations ``[B, H]`` by gate (two for each of :attr:`separate`).
            s: the states ``[B, H]`` before this step.
            p: the vectors ``[H]``.
        """

    def between(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Return the values named in :attr:`inner`; ``a`` has no gate that sees one of them."""
        raise NotImplementedError(f"{type(self).__name__} names inner values: write between()")

    # What follows from the above.

    @classmethod
    def sources(cls) -> dict[str, tuple[str, ...]]:
        """What feeds back through weights, with the gates that see it."""
        feedback = {cls.states[0]: cls.gates} if cls.feedback is None else cls.feedback
        return {**feedback, **cls.inner}

    @classmethod
    def early(cls) -> tuple[str, ...]:
        """Pre-activations that do not wait for an inner value."""
        gates = {gate for seen_by in cls.inner.values() for gate in seen_by}
        late = gates | {f"{gate}_h" for gate in gates}
        return tuple(name for name in cls.slots() if name not in late)

    @classmethod
    def slots(cls) -> tuple[str, ...]:
        """Names of the pre-activations: input terms first, then sums, then recurrent terms."""
        sums = tuple(gate for gate in cls.gates if gate not in cls.separate)
        return (*(f"{g}_x" for g in cls.separate), *sums, *(f"{g}_h" for g in cls.separate))

    def initial_state(self, batch_size: int) -> State:
        """Return zeros, on the weights' device."""
        return tuple(self.weight_ih.new_zeros(batch_size, self.hidden_size) for _ in self.states)

    def project(self, values: Tensor) -> Tensor:
        """Return ``W x + b`` for ``[..., F]`` inputs: ``[..., G * H]``."""
        return F.linear(values, self.weight_ih, self.bias)

    def input_weight(self, gates: Sequence[str] | None = None) -> tuple[Tensor, Tensor | None]:
        """Return W ``[G * H, F]`` and b ``[G * H]`` (None without), in another order of gates."""
        if gates is None or tuple(gates) == self.gates:
            return self.weight_ih, self.bias
        bias = None if self.bias is None else stacked(self.bias, self.gates, gates)
        return stacked(self.weight_ih, self.gates, gates), bias

    def recurrent_weight(self, source: str, gates: Sequence[str] | None = None) -> Tensor:
        """Return U ``[len(gates) * H, H]`` for one of :meth:`sources`.

        Args:
            source: what feeds back.
            gates: the blocks to return, zeros for a gate that does not see the source; None: the
                gates that do.
        """
        weight: Tensor = getattr(self, weight_name(source))
        seen_by = self.sources()[source]
        if gates is None or tuple(gates) == seen_by:
            return weight
        return stacked(weight, seen_by, gates)

    def vector_values(self) -> list[Tensor]:
        """Return the vectors ``[H]`` in the order of :attr:`vectors`."""
        return [getattr(self, name) for name in self.vectors]

    def outputs(
        self, projected: Tensor, state: State, recurrent: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Run the equations of one step.

        Args:
            projected: ``[B, G * H]``, this step's part of :meth:`project`.
            state: what the step before returned.
            recurrent: :meth:`recurrent_weight` of each source.
        """
        s, p = Named(self.states, state), Named(self.vectors, self.vector_values())
        inputs = dict(zip(self.gates, projected.chunk(len(self.gates), dim=-1), strict=True))
        terms = self._recurrent_terms(recurrent, {k: getattr(s, k) for k in self._fed_states()})
        if self.inner:
            early = self._slot_values(inputs, terms)
            made = self.between(Named(self.early(), [early[name] for name in self.early()]), s, p)
            late = self._recurrent_terms(recurrent, {name: made[name] for name in self.inner})
            terms = {gate: [*terms[gate], *late[gate]] for gate in self.gates}
        slots = self._slot_values(inputs, terms)
        return self.equations(Named(self.slots(), [slots[k] for k in self.slots()]), s, p)

    def step(self, values: Tensor, state: State) -> State:
        """Advance by one step, for streaming.

        Args:
            values: ``[B, F]``.
            state: what the step before returned, or :meth:`initial_state`.
        """
        recurrent = {source: self.recurrent_weight(source) for source in self.sources()}
        return self.pick_states(self.outputs(self.project(values), state, recurrent))

    def pick_states(self, outputs: Mapping[str, Tensor]) -> State:
        """Return the states among what the equations returned."""
        equations = f"the equations of {type(self).__name__}"
        if not isinstance(outputs, Mapping):
            raise ValueError(f"{equations} return a {type(outputs).__name__}, not a dict by name")
        missing = [name for name in self.states if name not in outputs]
        if missing:
            raise ValueError(f"{equations} return no {' and no '.join(missing)}")
        for name in self.states:
            value = outputs[name]
            if not isinstance(value, Tensor) or value.shape[-1:] != (self.hidden_size,):
                shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f"{equations} return {name} as {shape}, not [B, H]")
        return tuple(outputs[name] for name in self.states)

    def _check_names(self) -> None:
        """Raise ``ValueError`` if the class names something that it does not have."""
        cell = type(self).__name__
        for attribute in ("gates", "states", "separate"):
            names = getattr(self, attribute, ())
            if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"{cell}: {attribute} must be a tuple of names, not {names!r}")
            if attribute != "separate" and not names:
                raise ValueError(f"{cell}: {attribute} must name at least one")
        for attribute in ("vectors", "bias_init", "inner", "feedback"):
            table = getattr(self, attribute)
            if not isinstance(table, Mapping) and not (attribute == "feedback" and table is None):
                raise ValueError(f"{cell}: {attribute} must be a dict by name, not {table!r}")
        feedback = self.feedback or {}
        lists = (self.gates, self.states, self.slots(), *feedback.values(), *self.inner.values())
        for names in (*lists, (*self.states, *self.inner)):
            for name in names:
                if names.count(name) > 1 or name.startswith("_"):
                    raise ValueError(f"{cell}: the name '{name}' is used twice, or begins with _")
        seen_by = {gate for gates in (*feedback.values(), *self.inner.values()) for gate in gates}
        for attribute, used, known in (
            ("feedback", set(feedback), self.states),
            ("feedback or inner", seen_by, self.gates),
            ("separate", set(self.separate), self.gates),
            ("bias_init", set(self.bias_init), self.gates),
        ):
            for name in sorted(used - set(known)):
                raise ValueError(
                    f"{cell}: {attribute} names '{name}', "
                    f"not one of {', '.join(known)}{did_you_mean(name, known)}"
                )
        taken = ("weight_ih", "bias", *map(weight_name, self.sources()))
        for name in self.vectors:
            if hasattr(self, name) or name in taken:
                raise ValueError(f"{cell}: a vector cannot be called '{name}'")

    def _fed_states(self) -> list[str]:
        return [source for source in self.sources() if source not in self.inner]

    def _recurrent_terms(
        self, recurrent: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        terms: dict[str, list[Tensor]] = {gate: [] for gate in self.gates}
        for source, value in values.items():
            seen_by = self.sources()[source]
            products = F.linear(value, recurrent[source]).chunk(len(seen_by), dim=-1)
            for gate, product in zip(seen_by, products, strict=True):
                terms[gate].append(product)
        return terms

    def _slot_values(
        self, inputs: Mapping[str, Tensor], terms: Mapping[str, list[Tensor]]
    ) -> dict[str, Tensor]:
        slots = {}
        for gate in self.gates:
            if gate in self.separate:
                slots[f"{gate}_x"] = inputs[gate]
                slots[f"{gate}_h"] = sum(terms[gate], torch.zeros_like(inputs[gate]))
            else:
                slots[gate] = sum(terms[gate], inputs[gate])
        return slots


def stacked(weight: Tensor, names: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Stack a weight's blocks, known by name, in another order; unknown ones are zero."""
    blocks = dict(zip(names, weight.chunk(len(names)), strict=True))
    zeros = torch.zeros_like(weight[: len(weight) // len(names)])
    return torch.cat([blocks.get(name, zeros) for name in wanted])


def weight_name(source: str) -> str:
    """Name of the parameter through which a source feeds back."""
    return "weight_hh" if source == "h" else f"recurrent_{source}"
