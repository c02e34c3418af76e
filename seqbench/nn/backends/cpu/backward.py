"""The loop backward: the gradients of pre-activations, states, vectors and inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seqbench.nn.backends.cpu.build import Value, const
from seqbench.nn.backends.cpu.loop import LOOP, Loop
from seqbench.nn.backends.cpu.pointwise import emit_graph
from seqbench.nn.backends.equations import Equations
from seqbench.nn.backends.lowering import Source

BACKWARD = (
    *LOOP,
    "input_weight",
    "saved",
    "saved_step",
    "d_slots",
    "d_hidden",
    "d_batch",
    "d_step",
)
"""Then for each source its packed weights, the states, the vectors, the gradients of states and of
vectors, inner values."""


class Backward(Loop):
    """The equations' derivative and the products with the transposed weights, step by step."""

    def define(self) -> None:
        """Define ``backward``."""
        structure = self.structure
        sources = (*structure.fed, *structure.inner)
        self.begin(
            "backward",
            BACKWARD,
            {
                "weights": len(sources),
                "states": len(structure.states),
                "vectors": len(structure.vectors),
                "d_states": len(structure.states),
                "d_vectors": len(structure.vectors),
                "d_inner": len(structure.inner),
            },
        )
        body, get = self.body, self.get
        packed = dict(zip((s.name for s in sources), self.lists["weights"], strict=True))
        first = get["first"]
        with self._downwards() as step:
            running = self.running(step)
            here = self.at(
                self.pointer("d_slots"),
                body.times(body.plus(body.times(step, self.batch), first), self.row),
            )

            def feed_back(source: Source, out: Value) -> None:
                rows = (self.at(out, body.times(first, self.hidden)), self.hidden)
                self.multiply(
                    rows,
                    rows,
                    (body.at(here, self.slot(source.start)), self.row),
                    packed[source.name],
                    running,
                    self.hidden,
                    self.slot(source.stop - source.start),
                )

            self._state_gradients(step)
            if structure.between is not None:
                for source, out in zip(structure.inner, self.lists["d_inner"], strict=True):
                    feed_back(source, out)
                self._inner_gradients(structure.between, step)
            for source in structure.fed:
                feed_back(source, self.lists["d_states"][structure.states.index(source.name)])
            self._input_gradients(step)
        body.builder.ret_void()

    @contextmanager
    def _downwards(self) -> Iterator[Value]:
        with self.body.loop(const(0), self.get["steps"]) as (count, _, _):
            last = self.body.builder.sub(self.get["steps"], const(1))
            yield self.body.builder.sub(last, count)

    def _d_slots(self, step: Value, row: Value) -> Value:
        index = self.body.plus(self.body.times(step, self.batch), row)
        return self.body.at(self.pointer("d_slots"), self.body.times(index, self.row))

    def _saved_and_others(
        self, step: Value, row: Value, j: Value, mask: Value | None, *, between: bool
    ) -> list[Value]:
        saved = self.saved_values(step, row, between)
        values = [self.body.load(self.body.at(place, j), mask) for place in saved]
        return [*values, *self.others(step, row, j, mask)]

    def _state_gradients(self, step: Value) -> None:
        """From the gradient of new states: of pre-activations, old states and vectors."""
        body, structure = self.body, self.structure
        places = self._gradient_places(step)

        def active(row: Value, j: Value, mask: Value | None) -> None:
            incoming = [body.load(place, mask) for place in places(row, j, "d_states")]
            outer = self.at(
                self.pointer("d_hidden"),
                body.times(row, self.get["d_batch"]),
                body.times(step, self.get["d_step"]),
                j,
            )
            incoming[0] = body.builder.fadd(incoming[0], body.load(outer, mask))
            arguments = self._saved_and_others(step, row, j, mask, between=False)
            made = emit_graph(body, structure.equations.backward, [*arguments, *incoming])
            d_slots, d_states, d_vectors = self._split(made)
            for value, place in zip(d_slots, places(row, j, "d_slots"), strict=True):
                body.store(value, place, mask)
            for value, place in zip(d_states, places(row, j, "d_states"), strict=True):
                body.store(value, place, mask)
            for value, place in zip(d_vectors, places(row, j, "d_vectors"), strict=True):
                body.store(body.builder.fadd(body.load(place, mask), value), place, mask)
            for place in places(row, j, "d_inner"):
                body.store(self.code.splat(0.0), place, mask)

        def ended(row: Value) -> None:
            self.fill_zero(self._d_slots(step, row), self.row)
            for pointer in self.lists["d_inner"]:
                place = body.at(pointer, body.times(row, self.hidden))
                self.fill_zero(place, self.hidden)

        self.rows(step, active, ended)

    def _inner_gradients(self, between: Equations, step: Value) -> None:
        """Add what comes back through the inner values."""
        body, places = self.body, self._gradient_places(step)

        def active(row: Value, j: Value, mask: Value | None) -> None:
            incoming = [body.load(place, mask) for place in places(row, j, "d_inner")]
            arguments = self._saved_and_others(step, row, j, mask, between=True)
            made = self._split(emit_graph(body, between.backward, [*arguments, *incoming]))
            kinds = ("d_slots", "d_states", "d_vectors")
            for values, kind in zip(made, kinds, strict=True):
                for value, place in zip(values, places(row, j, kind), strict=True):
                    body.store(body.builder.fadd(body.load(place, mask), value), place, mask)

        self.rows(step, active, lambda row: None)

    def _split(self, made: list[Value]) -> tuple[list[Value], list[Value], list[Value]]:
        slots, states = len(self.structure.slots), len(self.structure.states)
        return made[:slots], made[slots : slots + states], made[slots + states :]

    def _gradient_places(self, step: Value) -> Callable[[Value, Value, str], list[Value]]:
        def places(row: Value, j: Value, kind: str) -> list[Value]:
            if kind == "d_slots":
                start = self._d_slots(step, row)
                count = len(self.structure.slots)
                return [self.at(start, self.slot(number), j) for number in range(count)]
            offset = self.body.plus(self.body.times(row, self.hidden), j)
            return [self.body.at(pointer, offset) for pointer in self.lists[kind]]

        return places

    def _input_gradients(self, step: Value) -> None:
        """Multiply the gradient of the inputs, where a chunk of steps ends."""
        body, get = self.body, self.get
        builder = body.builder
        wanted = builder.icmp_signed("!=", get["input_weight"], const(0))
        ends = builder.icmp_signed("==", builder.srem(step, get["chunk"]), const(0))
        with builder.if_then(builder.and_(wanted, ends)):
            count = body.least(get["chunk"], builder.sub(get["steps"], step))
            x = self.at(
                self.pointer("x"),
                body.times(get["first"], get["x_batch"]),
                body.times(step, get["x_step"]),
            )
            index = body.plus(body.times(step, self.batch), get["first"])
            d_slots = body.at(self.pointer("d_slots"), body.times(index, self.row))
            rows = builder.sub(get["last"], get["first"])
            self.multiply(
                (self.pointer("zeros"), const(0)),
                (x, get["x_batch"]),
                (d_slots, self.row),
                self.pointer("input_weight"),
                rows,
                get["features"],
                self.slot(self.structure.input_slots),
                (count, const(0), get["x_step"], body.times(self.batch, self.row)),
            )
