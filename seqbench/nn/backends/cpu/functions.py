"""Elementary functions on vectors.

In single precision, exp, sigmoid and tanh are polynomials fitted (by Lawson's iteration, relative
error) for this file: within 1 (exp) and 3 machine epsilons of the true value. exp is zero below
-87.3 and infinite above 88.7, where single precision has little left. Everything else, and
everything in double precision, is the C library's function on one lane after the other. NaN goes in
and NaN comes out.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from seqbench.nn.backends.cpu.build import Body, Value

EXP = (1.0, 1.0, 0.4999999345, 0.1666652069, 0.04166838737, 0.00836870984, 0.0013814613)
"""exp(r) for abs(r) <= ln(2) / 2, to 3.1e-9."""
TANH_TOP = (1.0, 0.13381009, 0.0034955684, 2.0608759e-05, 1.3354225e-08)
TANH_BOTTOM = (1.0, 0.46714324, 0.025876908, 0.00032856027, 7.7763769e-07)
"""tanh(x) = x top(x^2) / bottom(x^2) for abs(x) <= 9, to 2.1e-8; beyond, the value at 9, which is
at most one unit in the last place below 1."""
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693115234375, 3.194618494528623e-05
"""ln(2) in two parts, the first with so few digits that small multiples of it are exact."""
ROUNDER = 12582912.0
"""1.5 * 2^23: adding it rounds a single-precision number to an integer."""


def exp(body: Body, x: Value) -> Value:
    """Exponential."""
    if not _single(body):
        return library(body, "exp", x)
    builder, splat = body.builder, body.code.splat
    # Beyond these the result is not a normal number; the end selects infinity and zero.
    bounded = clip(body, x, -87.3, 88.7)
    shifted = body.fma(bounded, splat(LOG2_E), splat(ROUNDER))
    power = builder.fsub(shifted, splat(ROUNDER))
    rest = body.fma(power, splat(-LN2_HIGH), bounded)
    rest = body.fma(power, splat(-LN2_LOW), rest)
    value = polynomial(body, rest, EXP)
    integers = ir.VectorType(ir.IntType(32), body.code.shape.lanes)
    exponent = builder.shl(
        builder.bitcast(shifted, integers), ir.Constant(integers, [23] * integers.count)
    )
    scaled = builder.add(builder.bitcast(value, integers), exponent)
    result = builder.bitcast(scaled, body.code.vector)
    too_large = builder.fcmp_ordered(">", x, splat(88.7))
    result = builder.select(too_large, splat(float("inf")), result)
    too_small = builder.fcmp_ordered("<", x, splat(-87.3))
    result = builder.select(too_small, splat(0.0), result)
    return builder.select(builder.fcmp_unordered("uno", x, x), x, result)


def sigmoid(body: Body, x: Value) -> Value:
    """Logistic function, 1 / (1 + exp(-x))."""
    builder, splat = body.builder, body.code.splat
    if not _single(body):
        return builder.fdiv(
            splat(1.0), builder.fadd(splat(1.0), library(body, "exp", builder.fneg(x)))
        )
    bounded = clip(body, x, -87.0, 87.0)
    return quotient(body, splat(1.0), builder.fadd(splat(1.0), exp(body, builder.fneg(bounded))))


def tanh(body: Body, x: Value) -> Value:
    """Hyperbolic tangent."""
    if not _single(body):
        return library(body, "tanh", x)
    bounded = clip(body, x, -9.0, 9.0)
    square = body.builder.fmul(bounded, bounded)
    top = body.builder.fmul(bounded, polynomial(body, square, TANH_TOP))
    ratio = quotient(body, top, polynomial(body, square, TANH_BOTTOM))
    return clip(body, ratio, -1.0, 1.0)


def clip(body: Body, x: Value, low: float, high: float) -> Value:
    """Limit to [low, high]; NaN stays."""
    return largest(body, smallest(body, x, body.code.splat(high)), body.code.splat(low))


def smallest(body: Body, x: Value, bound: Value) -> Value:
    """Return the smaller value; x if x is NaN."""
    return body.builder.select(body.builder.fcmp_ordered(">", x, bound), bound, x)


def largest(body: Body, x: Value, bound: Value) -> Value:
    """Return the larger value; x if x is NaN."""
    return body.builder.select(body.builder.fcmp_ordered("<", x, bound), bound, x)


def polynomial(body: Body, x: Value, coefficients: Sequence[float]) -> Value:
    """Evaluate a polynomial, lowest power first, by Horner's rule."""
    value: Value = body.code.splat(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = body.fma(value, x, body.code.splat(coefficient))
    return value


def quotient(body: Body, top: Value, bottom: Value) -> Value:
    """Divide finite numbers, by an estimated reciprocal and a Newton step where there is one."""
    flags = ("arcp", "nnan", "ninf")
    return body.builder.fmul(top, body.builder.fdiv(body.code.splat(1.0), bottom, flags=flags))


def library(body: Body, name: str, *values: Value) -> Value:
    """Call a function of the C library for each lane."""
    code = body.code
    function = code.declare(
        f"{name}f" if _single(body) else name, code.scalar, [code.scalar] * len(values)
    )
    result: Value = ir.Constant(code.vector, ir.Undefined)
    for number in range(code.shape.lanes):
        lane = ir.Constant(ir.IntType(32), number)
        arguments = [body.builder.extract_element(value, lane) for value in values]
        result = body.builder.insert_element(result, body.builder.call(function, arguments), lane)
    return result


def intrinsic(body: Body, name: str, *values: Value) -> Value:
    """Call an operation that the machine may have as an instruction."""
    vector = body.code.vector
    function = body.code.declare(f"llvm.{name}.{body.code.suffix}", vector, [vector] * len(values))
    return body.builder.call(function, list(values))


def _single(body: Body) -> bool:
    return isinstance(body.code.scalar, ir.FloatType)
