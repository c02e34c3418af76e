"""The weights' gradients, after the loop over time: one product for each weight.

``gradients`` takes a range of columns of the pre-activations' gradient and goes through all rows in
blocks; each number is summed in the order of the rows, so that threads change no bit.
"""

from __future__ import annotations

from llvmlite import ir

from seqbench.nn.backends.cpu.build import INT, POINTER, Body, Code, Value, const

BLOCK_ROWS = 128
"""Rows that one pass of ``gradients`` takes."""
BLOCK_COLUMNS = 48
"""Columns of which it then keeps a copy in cache."""

GRADIENTS = (
    *("first", "last"),  # columns of the gradient of pre-activations
    *("rows", "count", "batch"),  # rows: their indices
    *("d_slots", "d_slots_row", "operand", "operand_batch", "operand_step", "width"),
    *("result", "bias", "panel", "copy"),  # panel, copy: room for a block of either operand
)


def define_gradients(code: Code, matmul: ir.Function) -> None:
    """Define ``gradients``: result = d_slots^T operand, bias = the sum of d_slots' rows."""
    body = code.function("gradients", [POINTER], public=True)
    block = body.function.args[0]
    get = {name: body.load_int(block, const(n)) for n, name in enumerate(GRADIENTS)}
    builder = body.builder

    def pointer(name: str) -> Value:
        return builder.inttoptr(get[name], POINTER)

    width, first, last = get["width"], get["first"], get["last"]
    with body.loop(const(0), get["count"], BLOCK_ROWS) as (start, _, _):
        depth = body.least(const(BLOCK_ROWS), builder.sub(get["count"], start))
        indices = body.at(pointer("rows"), start, INT)
        _pack_rows(body, get, indices, depth)
        with body.loop(first, last, BLOCK_COLUMNS) as (column, _, _):
            count = body.least(const(BLOCK_COLUMNS), builder.sub(last, column))
            _copy_columns(body, get, indices, depth, column, count)
            result = body.at(pointer("result"), body.times(column, width))
            builder.call(
                matmul,
                [
                    result,
                    width,
                    result,
                    width,
                    pointer("copy"),
                    const(1),
                    const(BLOCK_COLUMNS),
                    pointer("panel"),
                    count,
                    width,
                    depth,
                    const(1),
                    const(0),
                    const(0),
                    const(0),
                ],
            )
    builder.ret_void()


def _pack_rows(body: Body, get: dict[str, Value], indices: Value, depth: Value) -> None:
    """Pack the operand's rows as the product's right side."""
    shape, builder = body.code.shape, body.builder
    width = get["width"]
    edge = body.times(builder.sdiv(width, const(shape.width)), const(shape.width))
    lanes = const(shape.lanes)
    left = builder.sub(width, edge)
    narrow = body.times(builder.sdiv(body.plus(left, const(shape.lanes - 1)), lanes), lanes)
    panel = builder.inttoptr(get["panel"], POINTER)
    operand = builder.inttoptr(get["operand"], POINTER)
    with body.loop(const(0), depth) as (k, _, _):
        index = body.load_int(indices, k)
        row = body.at(
            operand,
            body.plus(
                body.times(builder.srem(index, get["batch"]), get["operand_batch"]),
                body.times(builder.sdiv(index, get["batch"]), get["operand_step"]),
            ),
        )
        with body.loop(const(0), edge, shape.width) as (column, _, _):
            place = body.plus(body.times(column, depth), body.times(k, const(shape.width)))
            for vector in range(shape.vectors):
                offset = const(vector * shape.lanes)
                value = body.load(body.at(row, body.plus(column, offset)))
                body.store(value, body.at(panel, body.plus(place, offset)))
        place = body.plus(body.times(edge, depth), body.times(k, narrow))

        def copy(column: Value, mask: Value | None) -> None:
            value = body.load(body.at(row, body.plus(edge, column)), mask)
            body.store(value, body.at(panel, body.plus(place, column)))

        body.columns(left, copy)


def _copy_columns(
    body: Body, get: dict[str, Value], indices: Value, depth: Value, column: Value, count: Value
) -> None:
    """Copy a strip of d_slots and add its rows to the bias."""
    builder = body.builder
    strip = builder.inttoptr(get["copy"], POINTER)
    source = body.at(builder.inttoptr(get["d_slots"], POINTER), column)
    bias = body.at(builder.inttoptr(get["bias"], POINTER), column)

    def copy(j: Value, mask: Value | None) -> None:
        place = body.at(bias, j)
        with body.loop(const(0), depth, carried=[body.load(place, mask)]) as (k, (total,), after):
            index = body.load_int(indices, k)
            value = body.load(
                body.at(source, body.plus(body.times(index, get["d_slots_row"]), j)), mask
            )
            body.store(
                value, body.at(strip, body.plus(body.times(k, const(BLOCK_COLUMNS)), j)), mask
            )
            after.append(builder.fadd(total, value))
        body.store(total, place, mask)

    body.columns(count, copy)
