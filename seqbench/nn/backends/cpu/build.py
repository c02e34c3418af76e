"""Building blocks of generated code: types, loops, loads and stores of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from llvmlite import ir

INT = ir.IntType(64)
POINTER = ir.PointerType()
VOID = ir.VoidType()
Value: TypeAlias = ir.Value


def const(number: int) -> ir.Constant:
    """Return an integer constant."""
    return ir.Constant(INT, number)


@dataclass(frozen=True)
class Shape:
    """How the machine's registers are used.

    Attributes:
        lanes: numbers in a vector register.
        vectors: registers across a tile of a matrix product.
        rows: rows of a tile.
    """

    lanes: int
    vectors: int
    rows: int

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.lanes * self.vectors


@dataclass
class Code:
    """A module of generated code for one floating-point type and one machine."""

    scalar: ir.Type
    shape: Shape
    module: ir.Module = field(default_factory=lambda: ir.Module("recurrence"))

    @cached_property
    def vector(self) -> ir.VectorType:
        """The type of a full register."""
        return ir.VectorType(self.scalar, self.shape.lanes)

    @cached_property
    def mask(self) -> ir.VectorType:
        """The type of a lane mask."""
        return ir.VectorType(ir.IntType(1), self.shape.lanes)

    @property
    def suffix(self) -> str:
        """How the vector type is spelled in an intrinsic's name."""
        return f"v{self.shape.lanes}{'f32' if self.scalar == ir.FloatType() else 'f64'}"

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return 4 if self.scalar == ir.FloatType() else 8

    def function(self, name: str, arguments: Sequence[ir.Type], *, public: bool = False) -> Body:
        """Begin a function that returns nothing."""
        function = ir.Function(self.module, ir.FunctionType(VOID, arguments), name)
        if not public:
            function.linkage = "internal"
            function.attributes.add("noinline")
        return Body(self, function)

    def declare(self, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        """Return a function of the machine or of the C library, declared once."""
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    def splat(self, number: float) -> ir.Constant:
        """Return a vector of one number."""
        return ir.Constant(self.vector, [number] * self.shape.lanes)


class Body:
    """The body of a function under construction."""

    def __init__(self, code: Code, function: ir.Function) -> None:
        self.code = code
        self.function = function
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))

    def at(self, pointer: Value, offset: Value, kind: ir.Type | None = None) -> Value:
        """Return the address of an array's element; numbers are the default kind."""
        return self.builder.gep(pointer, [offset], source_etype=kind or self.code.scalar)

    def times(self, *factors: Value) -> Value:
        """Multiply integers."""
        product = factors[0]
        for factor in factors[1:]:
            product = self.builder.mul(product, factor)
        return product

    def plus(self, *terms: Value) -> Value:
        """Add integers."""
        total = terms[0]
        for term in terms[1:]:
            total = self.builder.add(total, term)
        return total

    def less(self, left: Value, right: Value) -> Value:
        """Compare integers."""
        return self.builder.icmp_signed("<", left, right)

    def least(self, left: Value, right: Value) -> Value:
        """Return the smaller integer."""
        return self.builder.select(self.less(left, right), left, right)

    @contextmanager
    def loop(
        self, start: Value, stop: Value, step: int | Value = 1, carried: Sequence[Value] = ()
    ) -> Iterator[tuple[Value, list[Value], list[Value]]]:
        """Loop from start to stop.

        Yields:
            The index, the carried values and a list for their next values; after the loop, the
            carried values are the last ones.
        """
        builder, before = self.builder, self.builder.block
        head, body, end = (self.function.append_basic_block(n) for n in ("head", "body", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(INT)
        index.add_incoming(start, before)
        values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(self.less(index, stop), body, end)
        builder.position_at_end(body)
        following: list[Value] = []
        yield index, list(values), following
        stride = const(step) if isinstance(step, int) else step
        index.add_incoming(builder.add(index, stride), builder.block)
        for phi, value in zip(values, following, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(end)

    def switch(self, value: Value, cases: Mapping[int, Callable[[], object]]) -> None:
        """Do what belongs to an integer, nothing for one without a case."""
        end = self.function.append_basic_block("done")
        switch = self.builder.switch(value, end)
        for number, emit in cases.items():
            block = self.function.append_basic_block("case")
            switch.add_case(const(number), block)
            self.builder.position_at_end(block)
            emit()
            self.builder.branch(end)
        self.builder.position_at_end(end)

    def load_int(self, pointer: Value, index: Value) -> Value:
        """Load from an array of integers."""
        return self.builder.load(self.at(pointer, index, INT), typ=INT)

    def load_pointer(self, pointer: Value, index: Value) -> Value:
        """Load an address from an array of integers."""
        return self.builder.inttoptr(self.load_int(pointer, index), POINTER)

    def load(self, pointer: Value, mask: Value | None = None) -> Value:
        """Load a vector; lanes outside the mask are zero and not read."""
        code = self.code
        if mask is None:
            return self.builder.load(pointer, typ=code.vector, align=code.size)
        load = code.declare(
            f"llvm.masked.load.{code.suffix}.p0",
            code.vector,
            [POINTER, ir.IntType(32), code.mask, code.vector],
        )
        align = ir.Constant(ir.IntType(32), code.size)
        return self.builder.call(load, [pointer, align, mask, code.splat(0.0)])

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        """Store a vector; lanes outside the mask are not written."""
        code = self.code
        if mask is None:
            self.builder.store(value, pointer, align=code.size)
            return
        store = code.declare(
            f"llvm.masked.store.{code.suffix}.p0",
            VOID,
            [code.vector, POINTER, ir.IntType(32), code.mask],
        )
        align = ir.Constant(ir.IntType(32), code.size)
        self.builder.call(store, [value, pointer, align, mask])

    def first_lanes(self, count: Value) -> Value:
        """Return a mask of the first so many lanes."""
        lanes = self.code.shape.lanes
        kind = ir.VectorType(INT, lanes)
        numbers = ir.Constant(kind, list(range(lanes)))
        return self.builder.icmp_signed("<", numbers, self._broadcast(count, kind))

    def broadcast(self, pointer: Value) -> Value:
        """Load one number into all lanes."""
        number = self.builder.load(pointer, typ=self.code.scalar, align=self.code.size)
        return self._broadcast(number, self.code.vector)

    def _broadcast(self, value: Value, kind: ir.VectorType) -> Value:
        lane = ir.Constant(ir.IntType(32), 0)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, value, lane)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(one, undefined, lanes)

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """Multiply and add vectors in one rounding."""
        vector = self.code.vector
        fma = self.code.declare(f"llvm.fma.{self.code.suffix}", vector, [vector] * 3)
        return self.builder.call(fma, [left, right, addend])

    def columns(self, size: Value, emit: Callable[[Value, Value | None], None]) -> None:
        """Go through a row of numbers vector by vector; the last one may need a mask."""
        lanes = const(self.code.shape.lanes)
        whole = self.times(self.builder.sdiv(size, lanes), lanes)
        with self.loop(const(0), whole, self.code.shape.lanes) as (column, _, _):
            emit(column, None)
        with self.builder.if_then(self.less(whole, size)):
            emit(whole, self.first_lanes(self.builder.sub(size, whole)))
