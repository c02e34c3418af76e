"""The generated loops over time, forward and backward.

Buffers are step-first: row ``t * B + b``. Each function takes the address of an array of integers:
its arguments by position, addresses among them. ``forward`` and ``backward`` run a range of
sequences over all steps; ranges never share a number that they write, and each number is summed in
one order, so that threads change no bit.

Legend: S slots (pre-activations), H hidden units, F input features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from llvmlite import ir

from seqbench.nn.backends.cpu.build import POINTER, Code, Value, const
from seqbench.nn.backends.cpu.gradients import define_gradients
from seqbench.nn.backends.cpu.matmul import define_matmul, define_pack
from seqbench.nn.backends.cpu.pointwise import emit_graph
from seqbench.nn.backends.structured import Equations, Source, Structure

LOOP = (
    *("first", "last"),  # sequences
    *("steps", "batch", "features", "hidden", "chunk"),  # chunk: steps to multiply inputs at once
    *("lengths", "zeros"),  # zeros: as many as slots times H, or F
    *("x", "x_batch", "x_step"),
)
FORWARD = (*LOOP, "input_weight", "bias", "slots", "saved", "saved_step")
"""Then for each segment of a source its packed weights, the states, the vectors, inner values."""
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


def define(code: Code, structure: Structure) -> None:
    """Define the functions for a cell."""
    define_pack(code)
    matmul = define_matmul(code)
    _Loop(code, structure, matmul).forward()
    _Loop(code, structure, matmul).backward()
    define_gradients(code, matmul)


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


class _Loop:
    """What forward and backward share."""

    def __init__(self, code: Code, structure: Structure, matmul: ir.Function) -> None:
        self.code = code
        self.structure = structure
        self.matmul = matmul

    def _begin(self, name: str, fields: Sequence[str], lists: dict[str, int]) -> None:
        self.body = self.code.function(name, [POINTER], public=True)
        block = self.body.function.args[0]
        self.get = {f: self.body.load_int(block, const(n)) for n, f in enumerate(fields)}
        self.lists: dict[str, list[Value]] = {}
        position = len(fields)
        for kind, count in lists.items():
            numbers = range(position, position + count)
            self.lists[kind] = [self.body.load_pointer(block, const(n)) for n in numbers]
            position += count
        self.hidden, self.batch = self.get["hidden"], self.get["batch"]
        self.row = self.body.times(const(len(self.structure.slots)), self.hidden)

    def pointer(self, field: str) -> Value:
        return self.body.builder.inttoptr(self.get[field], POINTER)

    def at(self, pointer: Value, *terms: Value) -> Value:
        return self.body.at(pointer, self.body.plus(*terms))

    def slot(self, number: int) -> Value:
        return self.body.times(const(number), self.hidden)

    def state_at(self, pointer: Value, step: Value, row: Value) -> Value:
        """Address of a sequence's state before a step."""
        index = self.body.plus(self.body.times(step, self.batch), row)
        return self.body.at(pointer, self.body.times(index, self.hidden))

    def multiply(
        self,
        start: tuple[Value, Value],
        c: tuple[Value, Value],
        a: tuple[Value, Value],
        b: Value,
        rows: Value,
        columns: Value,
        depth: Value,
        blocks: tuple[Value, Value, Value, Value] | None = None,
    ) -> None:
        """Call the product; pairs are an address and a row stride."""
        count, *strides = blocks or (const(1), const(0), const(0), const(0))
        arguments = [*start, *c, *a, const(1), b, rows, columns, depth, count, *strides]
        self.body.builder.call(self.matmul, arguments)

    def running(self, step: Value) -> Value:
        """Count the sequences up to the last one that has not ended."""
        body, lengths = self.body, self.pointer("lengths")
        first = self.get["first"]
        size = body.builder.sub(self.get["last"], first)
        with body.loop(const(0), size, carried=[const(0)]) as (row, (count,), following):
            length = body.load_int(lengths, body.plus(first, row))
            following.append(
                body.builder.select(body.less(step, length), body.plus(row, const(1)), count)
            )
        return count

    def rows(
        self,
        step: Value,
        active: Callable[[Value, Value, Value | None], None],
        ended: Callable[[Value], None],
    ) -> None:
        """Go through the sequences; those that have ended are treated apart."""
        body = self.body
        with body.loop(self.get["first"], self.get["last"]) as (row, _, _):
            length = body.load_int(self.pointer("lengths"), row)
            with body.builder.if_else(body.less(step, length)) as (then, otherwise):
                with then:
                    body.columns(self.hidden, lambda j, mask: active(row, j, mask))
                with otherwise:
                    ended(row)

    def fill_zero(self, pointer: Value, size: Value) -> None:
        zero = self.code.splat(0.0)
        self.body.columns(
            size, lambda j, mask: self.body.store(zero, self.body.at(pointer, j), mask)
        )

    def saved_values(self, step: Value, row: Value, between: bool) -> list[Value]:
        """Addresses of what one sequence's step saves."""
        equations, inner = self.structure.equations, self.structure.between
        width = const(equations.saved + (inner.saved if inner else 0))
        start = self.at(
            self.pointer("saved"),
            self.body.times(step, self.get["saved_step"]),
            self.body.times(row, width, self.hidden),
        )
        numbers = range(equations.saved)
        if between and inner:
            numbers = range(equations.saved, equations.saved + inner.saved)
        return [self.body.at(start, self.slot(number)) for number in numbers]

    def others(self, step: Value, row: Value, j: Value, mask: Value | None) -> list[Value]:
        """Load the states before a step, and the vectors."""
        body = self.body
        places = [self.state_at(state, step, row) for state in self.lists["states"]]
        return [body.load(body.at(p, j), mask) for p in (*places, *self.lists["vectors"])]

    # Forward

    def forward(self) -> None:
        """Define ``forward``."""
        structure = self.structure
        sources = (*structure.fed, *structure.inner)
        pieces = {source.name: segments(structure, source) for source in sources}
        self._begin(
            "forward",
            FORWARD,
            {
                "weights": sum(map(len, pieces.values())),
                "states": len(structure.states),
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
                self._values(structure.between, self.lists["inner"], step, step, between=True)
                for source, value in zip(structure.inner, self.lists["inner"], strict=True):
                    feed(source, self.state_at(value, step, first))
            following = body.plus(step, const(1))
            self._values(structure.equations, self.lists["states"], step, following, between=False)
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
        target: Value,
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
            places = [self.state_at(pointer, target, row) for pointer in results]
            places += self.saved_values(step, row, between)
            for value, place in zip(made, places, strict=True):
                body.store(value, body.at(place, j), mask)

        def ended(row: Value) -> None:
            for pointer in results:
                self.fill_zero(self.state_at(pointer, target, row), self.hidden)

        self.rows(step, active, ended)

    # Backward

    def backward(self) -> None:
        """Define ``backward``."""
        structure = self.structure
        sources = (*structure.fed, *structure.inner)
        self._begin(
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
