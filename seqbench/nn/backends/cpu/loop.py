"""The loop over time in generated code: what forward and backward share.

Buffers are step-first: row ``t * B + b``. Each function takes the address of an array of integers:
its arguments by position, addresses among them. Both loops run a range of sequences over all steps;
ranges never share a number that they write, and each number is summed in one order, so that threads
change no bit.

Legend: S slots (pre-activations), H hidden units, F input features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from seqbench.nn.backends.cpu.build import POINTER, Code, Value, const
from seqbench.nn.backends.lowering import Structure

LOOP = (
    *("first", "last"),  # sequences
    *("steps", "batch", "features", "hidden", "chunk"),  # chunk: steps to multiply inputs at once
    *("lengths", "zeros"),  # zeros: as many as slots times H, or F
    *("x", "x_batch", "x_step"),
)


class Loop:
    """What the two loops share: where things are, and how they are gone through."""

    def __init__(self, code: Code, structure: Structure, matmul: ir.Function) -> None:
        self.code = code
        self.structure = structure
        self.matmul = matmul

    def begin(self, name: str, fields: Sequence[str], lists: dict[str, int]) -> None:
        """Begin a function with named arguments and lists of so many addresses each."""
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
        """Return an argument that is an address."""
        return self.body.builder.inttoptr(self.get[field], POINTER)

    def at(self, pointer: Value, *terms: Value) -> Value:
        """Return the address so many numbers further."""
        return self.body.at(pointer, self.body.plus(*terms))

    def slot(self, number: int) -> Value:
        """Return where a slot begins in a sequence's pre-activations."""
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
        """Set so many numbers to zero."""
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
