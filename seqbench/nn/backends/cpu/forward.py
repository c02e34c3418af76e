"""The loop forward."""

from __future__ import annotations

from itertools import groupby

from seqbench.nn.backends.cpu.build import Value, const
from seqbench.nn.backends.cpu.loop import LOOP, Loop
from seqbench.nn.backends.cpu.pointwise import emit_graph
from seqbench.nn.backends.equations import Equations
from seqbench.nn.backends.lowering import Source, Structure

FORWARD = (*LOOP, "input_weight", "bias", "slots", "saved", "saved_step")
"""Then for each segment of a source its packed weights, the states before the first step, those
after it, the vectors, inner values."""


def segments(structure: Structure, source: Source) -> list[tuple[int, int, bool]]:
    """Split a source's slots where it is the first to write.

    Returns:
        First slot, the one after the last, and whether the sum begins here.
    """
    before: set[int] = set(range(structure.input_slots))
    for other in (*structure.fed, *structure.inner):
        if other.name == source.name:
            break
        before |= set(range(other.start, other.stop))
    slots = range(source.start, source.stop)
    groups = [list(group) for _, group in groupby(slots, key=lambda slot: slot in before)]
    return [(group[0], group[-1] + 1, group[0] not in before) for group in groups]


class Forward(Loop):
    """Products of the inputs and of what feeds back, and the equations, step by step."""

    def define(self) -> None:
        """Define ``forward``."""
        structure = self.structure
        sources = (*structure.fed, *structure.inner)
        pieces = {source.name: segments(structure, source) for source in sources}
        self.begin(
            "forward",
            FORWARD,
            {
                "weights": sum(map(len, pieces.values())),
                "states": len(structure.states),
                "after": len(structure.states),
                "vectors": len(structure.vectors),
                "inner": len(structure.inner),
            },
        )
        body, get = self.body, self.get
        weights = iter(self.lists["weights"])
        packed = {source.name: [next(weights) for _ in pieces[source.name]] for source in sources}
        first = get["first"]
        with body.loop(const(0), get["steps"]) as (step, _, _):
            self._project_chunk(step)
            running = self.running(step)
            here = self._slots_of(step, first)

            def feed(source: Source, operand: Value) -> None:
                for (start, stop, begins), weight in zip(
                    pieces[source.name], packed[source.name], strict=True
                ):
                    out = (body.at(here, self.slot(start)), self.row)
                    begin = (self.pointer("zeros"), const(0)) if begins else out
                    self.multiply(
                        begin,
                        out,
                        (operand, self.hidden),
                        weight,
                        running,
                        self.slot(stop - start),
                        self.hidden,
                    )

            for source in structure.fed:
                state = self.lists["states"][structure.states.index(source.name)]
                feed(source, self.state_at(state, step, first))
            if structure.between is not None:
                self._values(structure.between, self.lists["inner"], step, between=True)
                for source, value in zip(structure.inner, self.lists["inner"], strict=True):
                    feed(source, self.state_at(value, step, first))
            self._values(structure.equations, self.lists["after"], step, between=False)
        body.builder.ret_void()

    def _project_chunk(self, step: Value) -> None:
        """Multiply the inputs of the next steps, where a chunk of steps begins."""
        body, get = self.body, self.get
        builder = body.builder
        begins = builder.icmp_signed("==", builder.srem(step, get["chunk"]), const(0))
        with builder.if_then(begins):
            count = body.least(get["chunk"], builder.sub(get["steps"], step))
            x = self.at(
                self.pointer("x"),
                body.times(get["first"], get["x_batch"]),
                body.times(step, get["x_step"]),
            )
            out = self._slots_of(step, get["first"])
            rows = builder.sub(get["last"], get["first"])
            self.multiply(
                (self.pointer("bias"), const(0)),
                (out, self.row),
                (x, get["x_batch"]),
                self.pointer("input_weight"),
                rows,
                self.slot(self.structure.input_slots),
                get["features"],
                (count, const(0), body.times(self.batch, self.row), get["x_step"]),
            )

    def _slots_of(self, step: Value, row: Value) -> Value:
        here = self.body.builder.srem(step, self.get["chunk"])
        index = self.body.plus(self.body.times(here, self.batch), row)
        return self.body.at(self.pointer("slots"), self.body.times(index, self.row))

    def _values(
        self,
        equations: Equations,
        results: list[Value],
        step: Value,
        *,
        between: bool,
    ) -> None:
        """Compute new values from a step's pre-activations and states, zero after the end."""
        body = self.body

        def active(row: Value, j: Value, mask: Value | None) -> None:
            slots = self._slots_of(step, row)
            numbers = range(len(self.structure.slots))
            arguments = [body.load(self.at(slots, self.slot(n), j), mask) for n in numbers]
            arguments += self.others(step, row, j, mask)
            made = emit_graph(body, equations.forward, arguments)
            places = [self.state_at(pointer, step, row) for pointer in results]
            places += self.saved_values(step, row, between)
            for value, place in zip(made, places, strict=True):
                body.store(value, body.at(place, j), mask)

        def ended(row: Value) -> None:
            for pointer in results:
                self.fill_zero(self.state_at(pointer, step, row), self.hidden)

        self.rows(step, active, ended)
