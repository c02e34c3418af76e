"""Every operation that the compiled CPU back end has an instruction for, against torch's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seqbench.nn import BACKENDS, Cell, Named, backends_for, fallback, unroll
from seqbench.nn.backends.cpu.pointwise import COMPARISONS, ELEMENTWISE, LOGIC
from seqbench.nn.backends.equations import operation
from seqbench.nn.backends.lowering import structure

SIMPLE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "add with alpha": lambda x, y: torch.add(x, y, alpha=3),
    "add a number": lambda x, y: x + 0.3,
    "sub": lambda x, y: x - y,
    "sub with alpha": lambda x, y: torch.sub(x, y, alpha=0.5),
    "rsub": lambda x, y: 1 - x,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (y * y + 1),
    "div a number": lambda x, y: 2 / (y * y + 1),
    "neg": lambda x, y: -x,
    "reciprocal": lambda x, y: torch.reciprocal(x * x + 1),
    "sqrt": lambda x, y: torch.sqrt(x * x + 0.1),
    "rsqrt": lambda x, y: torch.rsqrt(x * x + 0.1),
    "exp": lambda x, y: torch.exp(x),
    "expm1": lambda x, y: torch.expm1(x * 0.1),
    "log": lambda x, y: torch.log(x * x + 0.1),
    "log1p": lambda x, y: torch.log1p(x * x),
    "log2": lambda x, y: torch.log2(x * x + 0.1),
    "sin": lambda x, y: torch.sin(x),
    "cos": lambda x, y: torch.cos(x),
    "erf": lambda x, y: torch.erf(x),
    "sigmoid": lambda x, y: torch.sigmoid(x),
    "tanh": lambda x, y: torch.tanh(x),
    "pow 0": lambda x, y: x**0,
    "pow 1": lambda x, y: x**1,
    "pow 2": lambda x, y: x**2,
    "pow 3": lambda x, y: x**3,
    "pow 4": lambda x, y: x**4,
    "pow 7": lambda x, y: x**7,
    "pow -1": lambda x, y: (x * x + 1) ** -1,
    "pow 0.5": lambda x, y: (x * x + 1) ** 0.5,
    "pow 2.5": lambda x, y: (x * x + 1) ** 2.5,
    "square": lambda x, y: torch.square(x),
    "softplus": lambda x, y: F.softplus(x),
    "softplus with beta": lambda x, y: F.softplus(x, beta=2.0, threshold=3.0),
    "logsigmoid": lambda x, y: F.logsigmoid(x),
    "lerp": lambda x, y: torch.lerp(x, y, 0.25),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.5),
    "zeros_like": lambda x, y: x + torch.zeros_like(x),
    "ones_like": lambda x, y: x * torch.ones_like(x),
    "full_like": lambda x, y: x * torch.full_like(x, 0.7),
    "new_zeros": lambda x, y: x + x.new_zeros(x.shape),
    "detach": lambda x, y: x * x.detach(),
    "clone": lambda x, y: x.clone() * y,
    "constant": lambda x, y: torch.full_like(x, 0.25),
    "abs": lambda x, y: torch.abs(x),
    "sign": lambda x, y: torch.sign(x) * y,
    "relu": lambda x, y: F.relu(x),
    "relu6": lambda x, y: F.relu6(x * 3),
    "hardsigmoid": lambda x, y: F.hardsigmoid(x),
    "hardswish": lambda x, y: F.hardswish(x),
    "hardtanh": lambda x, y: F.hardtanh(x),
    "hardtanh with bounds": lambda x, y: F.hardtanh(x, -0.5, 1.5),
    "threshold": lambda x, y: F.threshold(x, 0.5, -1.0),
    "softsign": lambda x, y: F.softsign(x),
    "tanhshrink": lambda x, y: F.tanhshrink(x),
    "clamp from below": lambda x, y: torch.clamp(x, min=-0.5),
    "clamp from above": lambda x, y: torch.clamp(x, max=0.5),
    "clamp by tensors": lambda x, y: torch.clamp(x, -y.abs(), y.abs()),
    "clamp_min": lambda x, y: x.clamp_min(0.0),
    "clamp_max": lambda x, y: x.clamp_max(0.0),
    "gt": lambda x, y: torch.where(x > y, x, y * 2),
    "ge": lambda x, y: torch.where(x >= 0.5, x, y * 2),
    "lt": lambda x, y: torch.where(x < y, x, y * 2),
    "le": lambda x, y: torch.where(x <= y, x, y * 2),
    "eq": lambda x, y: torch.where(x == y, x * 3, y * 2),
    "ne": lambda x, y: torch.where(x != y, x * 3, y * 2),
    "not a number": lambda x, y: torch.where(x != x, 0.5, x),
    "where with numbers": lambda x, y: torch.where(x > 0, 1.0, y),
    "masked_fill": lambda x, y: x.masked_fill(y > 0, 0.5),
    "logical_and": lambda x, y: torch.where(torch.logical_and(x > 0, y > 0), x, y),
    "logical_or": lambda x, y: torch.where(torch.logical_or(x > 0, y > 0), x, y),
    "logical_not": lambda x, y: torch.where(torch.logical_not(x > y), x, y),
    "and": lambda x, y: torch.where((x > 0) & (y < 1), x, y),
    "or": lambda x, y: torch.where((x > 0) | (y < 1), x, y),
    "not": lambda x, y: torch.where(~(x > y), x, y),
}
# Torch's derivatives of these write in place, or are operations of several others.
COMPOSITE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gelu": lambda x, y: F.gelu(x),
    "gelu tanh": lambda x, y: F.gelu(x, approximate="tanh"),
    "silu": lambda x, y: F.silu(x),
    "mish": lambda x, y: F.mish(x),
    "sgn": lambda x, y: torch.sgn(x) * y,
    "leaky_relu": lambda x, y: F.leaky_relu(x, 0.2),
    "elu": lambda x, y: F.elu(x),
    "selu": lambda x, y: F.selu(x),
    "celu": lambda x, y: F.celu(x, alpha=0.5),
    "maximum": lambda x, y: torch.maximum(x, y),
    "minimum": lambda x, y: torch.minimum(x, y),
    "clamp": lambda x, y: torch.clamp(x, -1.0, 0.5),
}
OPERATIONS = {**SIMPLE, **COMPOSITE}
COARSE = {
    # Torch's own derivative divides by 6 in single precision.
    ("hardsigmoid", torch.float64): 1e-7,
    # A product of (1 - tanh(y)^2), which is 0 or 1e-7 for a large y, and of y cubed.
    ("gelu tanh", torch.float32): 2e-4,
}


class Operations(Cell):
    """Two states x and y that stay, and a state for the result of each operation on these."""

    gates = ("unused",)
    feedback = {}
    operations: ClassVar[dict[str, Callable[[Tensor, Tensor], Tensor]]]

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Apply each operation."""
        results = (operate(s.x, s.y) for operate in self.operations.values())
        return {"h": s.h, "x": s.x, "y": s.y, **dict(zip(self.states[3:], results, strict=True))}


class SimpleOperations(Operations):
    """Those of one instruction or a few."""

    operations = SIMPLE
    states = ("h", "x", "y", *(f"result_{n}" for n in range(len(SIMPLE))))


class CompositeOperations(Operations):
    """The others."""

    operations = COMPOSITE
    states = ("h", "x", "y", *(f"result_{n}" for n in range(len(COMPOSITE))))


DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
Made = dict[str, tuple[Tensor, ...]]


@pytest.fixture(scope="module")
def made() -> Callable[[str, str, torch.dtype], tuple[Tensor, ...]]:
    """An operation's values and gradients with respect to x and y, by back end and dtype."""

    @cache
    def compute(backend: str, cell_class: type[Operations], dtype: torch.dtype) -> Made:
        # Kinks, ties and what lies beyond each threshold, in all pairs; NaN comes last.
        points = torch.tensor([-25, -6, -3, -1, -0.5, -0.0, 0, 0.3, 0.5, 1, 1.5, 3, 6.5, 25])
        points = torch.cat([points, torch.linspace(-2, 2, 7), torch.tensor([math.nan])]).to(dtype)
        x, y = torch.meshgrid(points, points[:-1], indexing="ij")
        cell = cell_class(1, x.shape[1]).to(dtype)
        inputs = [x.clone().requires_grad_(), y.clone().requires_grad_()]
        zeros = torch.zeros_like(x)
        start = (zeros, *inputs, *[zeros] * len(cell.operations))
        values = torch.zeros(len(x), 1, 1, dtype=dtype)
        assert BACKENDS[backend].check(cell, values) is None
        final = BACKENDS[backend](cell, values, None, start)[1]
        assert final is not None
        slope = torch.linspace(0.5, 1.5, x.numel(), dtype=dtype).view(x.shape)
        found: Made = {}
        for name, result in zip(cell.operations, final[3:], strict=True):
            gradients: tuple[Tensor, ...] = (zeros, zeros)
            if result.requires_grad:
                gradients = torch.autograd.grad(
                    result, inputs, slope, retain_graph=True, materialize_grads=True
                )
            found[name] = (result.detach(), *gradients)
        return found

    def look_up(backend: str, name: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
        group = SimpleOperations if name in SIMPLE else CompositeOperations
        return compute(backend, group, dtype)[name]

    return look_up


@DTYPES
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("backend", backends_for(Cell, portable=True)[1:])
def test_operation_and_its_derivative(
    backend: str, name: str, dtype: torch.dtype, made: Callable[..., tuple[Tensor, ...]]
) -> None:
    """Equal to torch's own on kinks, ties, large numbers and, but for derivatives, on NaN."""
    rtol, atol = (1e-12, 1e-14) if dtype == torch.float64 else (1e-5, 1e-6)
    atol = COARSE.get((name, dtype), atol)
    expected, found = made("reference", name, dtype), made(backend, name, dtype)
    torch.testing.assert_close(expected[0], found[0], equal_nan=True, rtol=rtol, atol=atol)
    for wanted, gradient in zip(expected[1:], found[1:], strict=True):
        torch.testing.assert_close(wanted[:-1], gradient[:-1], rtol=rtol, atol=atol)


@pytest.mark.slow
def test_every_instruction_is_among_the_operations() -> None:
    """Whoever adds an instruction adds an operation that needs it."""
    used = set()
    for cell_class in (SimpleOperations, CompositeOperations):
        equations = structure(cell_class(1, 2), torch.float64).equations
        nodes = [*equations.forward.graph.nodes, *equations.backward.graph.nodes]
        used |= {operation(node).split(".")[1] for node in nodes if node.op == "call_function"}
    assert set() == {*ELEMENTWISE, *COMPARISONS, *LOGIC} - used


class Functions(Cell):
    """Three functions of the state x, which stays."""

    gates = ("unused",)
    states = ("h", "x", "sigmoid", "tanh")
    feedback = {}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Apply each function."""
        results = {"sigmoid": torch.sigmoid(s.x), "tanh": torch.tanh(s.x)}
        return {"h": torch.exp(s.x), "x": s.x, **results}


def _functions(points: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Run exp, sigmoid and tanh of the compiled back end on ``[N]`` points."""
    cell = Functions(1, len(points)).to(dtype)
    x = points[None].to(dtype)
    values = torch.zeros(1, 1, 1, dtype=dtype)
    assert fallback(cell, values, "cpu") is None
    with torch.no_grad():
        exp, _, sigmoid, tanh = unroll(cell, values, None, (x,) * 4, "cpu").state
    return {"exp": exp[0], "sigmoid": sigmoid[0], "tanh": tanh[0]}


@pytest.mark.parametrize("name", ["exp", "sigmoid", "tanh"])
@DTYPES
def test_functions_are_accurate(name: str, dtype: torch.dtype) -> None:
    """Relative error over a function's whole range: at most 3 epsilon, for exp 1 epsilon."""
    low, high = (-87.0, 88.0) if dtype == torch.float32 else (-700.0, 700.0)
    points = torch.cat([torch.linspace(low, high, 200_001), torch.linspace(-1, 1, 100_001)])
    points = torch.cat([points, torch.logspace(-38, 0, 5_001), -torch.logspace(-38, 0, 5_001)])
    points = points.to(dtype)
    exact = getattr(torch, name)(points.double())
    error = (_functions(points, dtype)[name].double() - exact).abs() / exact.abs()
    assert error.max().item() <= (1 if name == "exp" else 3) * torch.finfo(dtype).eps


@DTYPES
def test_functions_at_the_extremes(dtype: torch.dtype) -> None:
    """They saturate as torch's do, and NaN stays NaN."""
    tiny = torch.finfo(dtype).tiny / 4  # too small for a normal number
    points = torch.tensor([math.inf, 1e30, 1000, 100, tiny, 0, -0.0, -tiny, -110, -1e30, -math.inf])
    points = torch.cat([points, torch.tensor([math.nan])]).to(dtype)
    for name, found in _functions(points, dtype).items():
        expected = getattr(torch, name)(points)
        torch.testing.assert_close(expected, found, rtol=1e-6, atol=1e-37, equal_nan=True)
