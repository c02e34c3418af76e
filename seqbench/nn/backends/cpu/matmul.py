"""Matrix product: tiles of C held in registers, the right operand packed in panels.

A panel holds ``Shape.width`` columns of B, one row of the panel after the other, so that a tile
reads it in order; the last panel holds the columns that are left, filled up to whole vectors.
Every number of C is summed in the order of k, whatever the tile: the same bits for any split of
rows over threads.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from seqbench.nn.backends.cpu.build import INT, POINTER, Code, Shape, Value, const

PACK = ("source", "source_k", "source_column", "depth", "columns", "target")
"""Arguments of ``pack``: an operand ``[depth, columns]`` with its strides, and the panels."""


def define_pack(code: Code) -> None:
    """Define ``pack``, which takes the address of :data:`PACK` as integers."""
    body = code.function("pack", [POINTER], public=True)
    builder, shape = body.builder, code.shape
    get = {f: body.load_int(body.function.args[0], const(n)) for n, f in enumerate(PACK)}
    source, target = (builder.inttoptr(get[name], POINTER) for name in ("source", "target"))
    depth, columns = get["depth"], get["columns"]
    lanes = const(shape.lanes)
    with body.loop(const(0), columns, shape.width) as (first, _, _):
        real = body.least(const(shape.width), builder.sub(columns, first))
        whole = body.plus(real, const(shape.lanes - 1))
        whole = body.times(builder.sdiv(whole, lanes), lanes)
        panel = body.at(target, body.times(first, depth))
        with body.loop(const(0), depth) as (k, _, _):
            row = body.at(panel, body.times(k, whole))
            start = body.plus(
                body.times(k, get["source_k"]), body.times(first, get["source_column"])
            )
            with body.loop(const(0), real) as (column, _, _):
                place = body.plus(start, body.times(column, get["source_column"]))
                number = builder.load(body.at(source, place), typ=code.scalar, align=code.size)
                builder.store(number, body.at(row, column), align=code.size)
            with body.loop(real, whole) as (column, _, _):
                builder.store(ir.Constant(code.scalar, 0.0), body.at(row, column), align=code.size)
    builder.ret_void()


def packed_size(rows: int, columns: int, shape: Shape) -> int:
    """Numbers that a packed ``[K, N]`` operand takes."""
    return rows * -(-columns // shape.lanes) * shape.lanes


def define_matmul(code: Code) -> ir.Function:
    """Define ``C = start + A B`` for blocks of rows that follow each other.

    Arguments: start and its row stride (0: one row for all), C and its row stride, A with the
    strides of a row and of k, packed B, the numbers of rows, columns and k, and for the blocks:
    their number and the strides of start, C and A from one to the next.
    """
    kinds = [POINTER, INT, POINTER, INT, POINTER, INT, INT, POINTER, *[INT] * 7]
    body = code.function("matmul", kinds)
    (start, start_row, c, c_row, a, a_row, a_k, b, rows, columns, depth, blocks) = (
        body.function.args[:12]
    )
    start_block, c_block, a_block = body.function.args[12:]
    width, lanes = code.shape.width, code.shape.lanes
    whole = body.builder.sdiv(columns, const(width))

    def tiles(strip: ir.Function, column: Value, panel: Value, last: Value) -> None:
        with body.loop(const(0), blocks) as (block, _, _):
            body.builder.call(
                strip,
                [
                    body.at(start, body.plus(body.times(block, start_block), column)),
                    start_row,
                    body.at(c, body.plus(body.times(block, c_block), column)),
                    c_row,
                    body.at(a, body.times(block, a_block)),
                    a_row,
                    a_k,
                    panel,
                    rows,
                    depth,
                    last,
                ],
            )

    full = _define_strip(code, code.shape.vectors, masked=False)
    with body.loop(const(0), whole) as (panel, _, _):
        packed = body.at(b, body.times(panel, depth, const(width)))
        tiles(full, body.times(panel, const(width)), packed, const(0))
    edge = body.times(whole, const(width))
    left = body.builder.sub(columns, edge)
    vectors = body.builder.sdiv(body.plus(left, const(lanes - 1)), const(lanes))
    packed = body.at(b, body.times(edge, depth))
    last = body.builder.sub(left, body.times(body.builder.sub(vectors, const(1)), const(lanes)))

    def partial(count: int) -> Callable[[], None]:
        return lambda: tiles(_define_strip(code, count, masked=True), edge, packed, last)

    body.switch(vectors, {n: partial(n) for n in range(1, code.shape.vectors + 1)})
    body.builder.ret_void()
    return body.function


def _define_strip(code: Code, vectors: int, *, masked: bool) -> ir.Function:
    """Define the product for all rows and one panel: tiles of nearly equal height."""
    kinds = [POINTER, INT, POINTER, INT, POINTER, INT, INT, POINTER, INT, INT, INT]
    body = code.function(f"strip_{vectors}{'_masked' if masked else ''}", kinds)
    start, start_row, c, c_row, a, a_row, a_k, b, rows, depth, last = body.function.args
    highest = code.shape.rows
    count = body.builder.sdiv(body.plus(rows, const(highest - 1)), const(highest))
    with body.loop(const(0), count) as (number, _, _):
        low = body.builder.sdiv(body.times(rows, number), count)
        high = body.builder.sdiv(body.times(rows, body.plus(number, const(1))), count)
        arguments = [
            body.at(start, body.times(low, start_row)),
            start_row,
            body.at(c, body.times(low, c_row)),
            c_row,
            body.at(a, body.times(low, a_row)),
            a_row,
            a_k,
            b,
            depth,
            last,
        ]

        def tile(height: int, arguments: list[Value] = arguments) -> Callable[[], object]:
            function = _define_tile(code, height, vectors, masked=masked)
            return lambda: body.builder.call(function, arguments)

        cases = {height: tile(height) for height in range(1, highest + 1)}
        body.switch(body.builder.sub(high, low), cases)
    body.builder.ret_void()
    return body.function


def _define_tile(code: Code, rows: int, vectors: int, *, masked: bool) -> ir.Function:
    """Define the product for one tile, all of whose sums stay in registers."""
    kinds = [POINTER, INT, POINTER, INT, POINTER, INT, INT, POINTER, INT, INT]
    body = code.function(f"tile_{rows}x{vectors}{'_masked' if masked else ''}", kinds)
    start, start_row, c, c_row, a, a_row, a_k, b, depth, last = body.function.args
    lanes = code.shape.lanes
    masks = [None] * (vectors - 1) + [body.first_lanes(last) if masked else None]
    places = [(row, v) for row in range(rows) for v in range(vectors)]

    def address(matrix: Value, stride: Value, row: int, vector: int) -> Value:
        return body.at(matrix, body.plus(body.times(stride, const(row)), const(vector * lanes)))

    sums = [body.load(address(start, start_row, row, v), masks[v]) for row, v in places]
    a_rows = [body.at(a, body.times(a_row, const(row))) for row in range(rows)]
    with body.loop(const(0), depth, carried=sums) as (k, sums, following):
        b_row = body.times(k, const(vectors * lanes))
        right = [body.load(body.at(b, body.plus(b_row, const(v * lanes)))) for v in range(vectors)]
        left_at = body.times(k, a_k)
        for row in range(rows):
            left = body.broadcast(body.at(a_rows[row], left_at))
            following += [body.fma(left, right[v], sums[row * vectors + v]) for v in range(vectors)]
    for (row, v), total in zip(places, sums, strict=True):
        body.store(total, address(c, c_row, row, v), masks[v])
    body.builder.ret_void()
    return body.function
