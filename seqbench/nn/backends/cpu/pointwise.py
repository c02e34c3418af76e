"""From a traced graph to vector instructions: what each of torch's operations becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from torch.fx import GraphModule, Node

from seqbench.nn.backends.cpu import functions
from seqbench.nn.backends.cpu.build import Body, Value
from seqbench.nn.backends.equations import CONSTANTS, UNCHANGED, Unsupported, operation

FLAGS = ("contract",)
"""A product and a sum may be rounded once, as in a matrix product."""


def emit_graph(body: Body, graph: GraphModule, arguments: Sequence[Value]) -> list[Value]:
    """Emit a graph for one vector.

    Args:
        body: where to.
        graph: what :func:`~seqbench.nn.backends.equations.trace` made.
        arguments: a vector for each argument of the graph.

    Returns:
        A vector for each output.

    Raises:
        Unsupported: there is no instruction for an operation.
    """
    known: dict[Node, Any] = {}
    remaining = iter(arguments)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            known[node] = next(remaining)
        elif node.op == "output":
            return [_vector(body, known[made]) for made in node.args[0]]
        else:
            values = [known.get(a, a) if isinstance(a, Node) else a for a in node.args]
            known[node] = _emit(body, node, values, node.kwargs)
    raise Unsupported("its graph has no output")


def _emit(body: Body, node: Node, values: list[Any], options: dict[str, Any]) -> Any:
    _, name, overload = (*operation(node).split("."), "")[:3]
    if name in CONSTANTS:
        return _constant(name, values)
    if name in COMPARISONS:
        left, right = (_vector(body, value) for value in values)
        # NaN is unequal to everything, itself too; any other comparison with it is false.
        compare = body.builder.fcmp_unordered if name == "ne" else body.builder.fcmp_ordered
        return compare(COMPARISONS[name], left, right)
    if name in LOGIC:
        return LOGIC[name](body, *(_mask(body, value) for value in values))
    if name == "where":
        mask, chosen, other = values
        return body.builder.select(_mask(body, mask), _vector(body, chosen), _vector(body, other))
    if name == "pow" and overload == "Tensor_Scalar":
        return _power(body, values[0], values[1])
    if name in ("clamp", "clamp_min", "clamp_max", "hardtanh"):
        return _clamp(body, name, values, options)
    if name not in ELEMENTWISE:
        raise Unsupported(f"no instruction for {operation(node)}")
    scale = options.get("alpha", values[2] if len(values) > 2 and name in ("add", "sub") else 1)
    if set(options) - {"alpha"} or (len(values) > 2 and name not in ("add", "sub")):
        raise Unsupported(f"no instruction for {operation(node)} with these options")
    operands = [_vector(body, value) for value in values[:2]]
    if scale != 1:
        operands[1] = body.builder.fmul(operands[1], body.code.splat(float(scale)))
    return ELEMENTWISE[name](body, *operands)


def _constant(name: str, values: list[Any]) -> Any:
    if name in UNCHANGED:
        return values[0]
    fixed = CONSTANTS[name]
    return float(values[-1]) if fixed is None else fixed


def _vector(body: Body, value: Any) -> Value:
    if isinstance(value, bool | int | float):
        return body.code.splat(float(value))
    if isinstance(value, ir.Value):
        if value.type != body.code.vector:
            raise Unsupported("it computes with truth values")
        return value
    raise Unsupported(f"it computes with {value!r}")


def _mask(body: Body, value: Any) -> Value:
    if isinstance(value, ir.Value) and value.type == body.code.mask:
        return value
    raise Unsupported(f"it takes {value!r} for a truth value")


def _power(body: Body, base: Value, exponent: float) -> Value:
    if exponent == int(exponent) and 1 <= exponent <= 4:
        result = base
        for _ in range(int(exponent) - 1):
            result = body.builder.fmul(result, base)
        return result
    if exponent == 0.5:
        return functions.intrinsic(body, "sqrt", base)
    return functions.library(body, "pow", base, body.code.splat(float(exponent)))


def _clamp(body: Body, name: str, values: list[Any], options: dict[str, Any]) -> Value:
    value = values[0]
    low = options.get("min", values[1] if name != "clamp_max" and len(values) > 1 else None)
    high = options.get("max", values[-1] if name == "clamp_max" or len(values) > 2 else None)
    if name == "hardtanh":
        low, high = (-1.0 if low is None else low), (1.0 if high is None else high)
    if low is not None:
        value = functions.largest(body, value, _vector(body, low))
    if high is not None:
        value = functions.smallest(body, value, _vector(body, high))
    return value


def _binary(name: str) -> Callable[[Body, Value, Value], Value]:
    return lambda body, left, right: getattr(body.builder, name)(left, right, flags=FLAGS)


def _library(name: str) -> Callable[[Body, Value], Value]:
    return lambda body, value: functions.library(body, name, value)


def _intrinsic(name: str) -> Callable[..., Value]:
    return lambda body, *values: functions.intrinsic(body, name, *values)


def _one_minus_square(body: Body, grad: Value, value: Value) -> Value:
    """Derivative of tanh by its value."""
    slope = body.fma(body.builder.fneg(value), value, body.code.splat(1.0))
    return body.builder.fmul(grad, slope)


def _value_times_rest(body: Body, grad: Value, value: Value) -> Value:
    """Derivative of sigmoid by its value."""
    slope = body.fma(body.builder.fneg(value), value, value)
    return body.builder.fmul(grad, slope)


def _reciprocal(body: Body, value: Value) -> Value:
    return body.builder.fdiv(body.code.splat(1.0), value)


def _rsqrt(body: Body, value: Value) -> Value:
    return _reciprocal(body, functions.intrinsic(body, "sqrt", value))


def _sign(body: Body, value: Value) -> Value:
    sign = functions.intrinsic(body, "copysign", body.code.splat(1.0), value)
    ordered = body.builder.fcmp_ordered("!=", value, body.code.splat(0.0))
    return body.builder.select(ordered, sign, body.code.splat(0.0))


def _relu(body: Body, value: Value) -> Value:
    return functions.largest(body, value, body.code.splat(0.0))


COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}

LOGIC: dict[str, Callable[..., Value]] = {
    "logical_and": lambda body, left, right: body.builder.and_(left, right),
    "logical_or": lambda body, left, right: body.builder.or_(left, right),
    "logical_not": lambda body, value: body.builder.not_(value),
    "bitwise_and": lambda body, left, right: body.builder.and_(left, right),
    "bitwise_or": lambda body, left, right: body.builder.or_(left, right),
    "bitwise_not": lambda body, value: body.builder.not_(value),
}

ELEMENTWISE: dict[str, Callable[..., Value]] = {
    "add": _binary("fadd"),
    "sub": _binary("fsub"),
    "mul": _binary("fmul"),
    "div": lambda body, left, right: body.builder.fdiv(left, right),
    "neg": lambda body, value: body.builder.fneg(value),
    "reciprocal": _reciprocal,
    "abs": _intrinsic("fabs"),
    "sign": _sign,
    "sqrt": _intrinsic("sqrt"),
    "rsqrt": _rsqrt,
    "exp": functions.exp,
    "sigmoid": functions.sigmoid,
    "tanh": functions.tanh,
    "sigmoid_backward": _value_times_rest,
    "tanh_backward": _one_minus_square,
    "relu": _relu,
    "maximum": _intrinsic("maximum"),
    "minimum": _intrinsic("minimum"),
    **{name: _library(name) for name in ("expm1", "log", "log1p", "log2", "sin", "cos", "erf")},
}
