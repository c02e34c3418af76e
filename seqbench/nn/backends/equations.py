"""Pointwise equations and their derivative as graphs: traced, made pure, and split in two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx


class Unsupported(Exception):  # noqa: N818 - as errors.Refused
    """A compiled back end cannot run a cell; the message says why."""


@dataclass(frozen=True)
class Equations:
    """Pointwise equations as a graph, and their derivative.

    Both graphs take and return tensors of one shape; every operation is elementwise. What is
    expensive to compute (a sigmoid) is computed once: ``forward`` returns it to be saved and
    ``backward`` takes it; the rest is computed again.
    """

    forward: GraphModule
    """Arguments: pre-activations, states, vectors. Outputs: the new values and what to save."""
    backward: GraphModule
    """Arguments: what was saved, states, vectors, and the gradients of the new values. Outputs: the
    gradients of the arguments of ``forward``."""
    saved: int
    """How many values are saved."""

    def __str__(self) -> str:
        """Return the equations as code; the same for the same equations."""
        return f"{self.forward.code} {self.backward.code} {self.saved}"


def trace(
    function: Callable[..., list[Tensor]],
    arguments: tuple[int, int],
    outputs: int,
    like: Tensor,
) -> Equations:
    """Trace a function of tensors that all have one shape, and its derivative.

    Args:
        function: from pre-activations, then states and vectors, to new values.
        arguments: how many pre-activations it takes, and how many others.
        outputs: how many values it returns.
        like: an example of the tensors, ``[2, H]``.

    Raises:
        Unsupported: an operation is not elementwise, or cannot be traced.
    """
    # Vectors are traced in the shape of everything else: their gradient is then one value for each
    # row too, which the engine sums.
    count = sum(arguments)
    example = [like.clone() for _ in range(count + outputs)]

    def both(*values: Tensor) -> list[Tensor]:
        made, pull_back = torch.func.vjp(function, *values[:count])  # type: ignore[misc]
        return [*made, *pull_back(list(values[count:]))]

    try:
        joint = make_fx(both, _decompositions())(*example).graph
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise Unsupported(f"its equations cannot be traced ({reason})") from error
    try:
        _simplify(joint, arguments[0], like.shape)
    except AttributeError as error:  # an operation in place that has no other form
        raise Unsupported(f"its equations write in place ({error})") from error
    joint.eliminate_dead_code()
    for node in joint.nodes:
        _check_elementwise(node, like.shape)
    return _partition(joint, arguments, outputs)


def _simplify(joint: Graph, first_state: int, shape: torch.Size) -> None:
    """Make a graph free of writes in place and of the example's shape.

    Some of torch's derivatives write in place, and their constants name a shape. In a graph, where
    what is written has a name of its own, an operation in place is the operation; and a constant
    can take the shape of a state, which is at hand in both directions.
    """
    inputs = [node for node in joint.nodes if node.op == "placeholder"]
    like = inputs[first_state]
    for node in list(joint.nodes):
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        name, overload = (*operation(node).split(".")[1:], "")[:2]
        value = node.meta.get("val")
        shaped = isinstance(value, Tensor) and value.is_floating_point() and value.shape == shape
        replacement = None
        if name == "copy_" or (name in ("expand", "_to_copy") and _same_kind(node)):
            replacement = node.args[1 if name == "copy_" else 0]
        elif name in CONSTANTS and name not in UNCHANGED and shaped:
            fixed: Any = CONSTANTS[name]
            number = node.args[-1] if fixed is None else fixed
            with joint.inserting_before(node):
                replacement = joint.call_function(
                    torch.ops.aten.full_like.default, (like, float(number))
                )
        elif name.endswith("_"):
            node.target = getattr(getattr(torch.ops.aten, name[:-1]), overload)
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            joint.erase_node(node)


def _same_kind(node: Node) -> bool:
    """Whether a node returns the shape and dtype that it takes."""
    before, after = (made.meta.get("val") for made in (node.all_input_nodes[0], node))
    if before is None or after is None:
        return False
    return bool(before.shape == after.shape and before.dtype == after.dtype)


def _partition(joint: Graph, arguments: tuple[int, int], outputs: int) -> Equations:
    """Split a graph of values and gradients where the fewest costly operations are repeated."""
    inputs = [node for node in joint.nodes if node.op == "placeholder"]
    results = _flat(next(node for node in joint.nodes if node.op == "output").args[0])
    slots, gradients = inputs[: arguments[0]], inputs[sum(arguments) :]
    late = set(gradients)
    for node in joint.nodes:
        if any(part in late for part in node.all_input_nodes):
            late.add(node)
    costly = [n for n in joint.nodes if n not in late and _name(n) in COSTLY]
    kept = _needed(results[outputs:], stop={*costly, *slots})
    saved = [node for node in (*costly, *slots) if node in kept]
    others = inputs[arguments[0] : sum(arguments)]
    return Equations(
        _subgraph(joint, inputs[: sum(arguments)], [*results[:outputs], *saved]),
        _subgraph(joint, [*saved, *others, *gradients], results[outputs:]),
        len(saved),
    )


def _needed(results: Sequence[Node], stop: set[Node]) -> set[Node]:
    """Return what the results are computed from, not looking behind the nodes of ``stop``."""
    found: set[Node] = set()
    waiting = list(results)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += () if node in stop else node.all_input_nodes
    return found


def _subgraph(joint: Graph, arguments: Sequence[Node], results: Sequence[Node]) -> GraphModule:
    graph = Graph()
    copies = {node: graph.placeholder(f"argument_{n}") for n, node in enumerate(arguments)}
    for node in joint.nodes:
        known = all(part in copies for part in node.all_input_nodes)
        if node.op == "call_function" and node not in copies and known:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in results))
    graph.eliminate_dead_code()
    return GraphModule(torch.nn.Module(), graph)


def _flat(made: Any) -> list[Node]:
    return [made] if isinstance(made, Node) else [node for part in made for node in _flat(part)]


@cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Return how composite operations break up, but for two whose derivatives are cheaper whole."""
    whole = ("sigmoid_backward", "tanh_backward")
    aten = torch.ops.aten
    table = dict(core_aten_decompositions())
    table |= get_decompositions([aten.gelu, aten.elu, aten.leaky_relu])
    return {op: how for op, how in table.items() if op.name().split(".")[0][6:] not in whole}


def _check_elementwise(node: Node, shape: torch.Size) -> None:
    if node.op == "get_attr":
        raise Unsupported("its equations use a tensor that is no vector of the cell")
    if node.op != "call_function":
        return
    value: Any = node.meta["tensor_meta"] if "tensor_meta" in node.meta else node.meta.get("val")
    tags = getattr(node.target, "tags", ())
    if torch.Tag.pointwise not in tags and not _creates(node):
        raise Unsupported(f"{operation(node)} is not elementwise")
    if value is not None and value.shape not in (shape, ()):
        raise Unsupported(f"{operation(node)} changes the shape")


def _creates(node: Node) -> bool:
    return _name(node) in CONSTANTS


def _name(node: Node) -> str:
    return operation(node).partition(".")[2].partition(".")[0]


UNCHANGED = ("detach", "alias", "clone", "lift_fresh_copy")
"""Operations that return what they take."""

CONSTANTS = {
    "zeros_like": 0.0,
    "ones_like": 1.0,
    "full_like": None,
    "scalar_tensor": None,
    "full": None,
    "new_zeros": 0.0,
    "new_ones": 1.0,
    "new_full": None,
    "zeros": 0.0,
    "ones": 1.0,
    "_efficientzerotensor": 0.0,
    "empty_permuted": 0.0,
    **dict.fromkeys(UNCHANGED),
}
"""Operations that compute nothing: the number that they return, None if an argument says it."""


COSTLY = {
    "sigmoid",
    "tanh",
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sin",
    "cos",
    "erf",
    "pow",
    "sqrt",
    "rsqrt",
    "div",
    "reciprocal",
}
"""Operations worth saving for the derivative."""


def operation(node: Node) -> str:
    """Name an operation as torch does: ``aten.mul.Tensor``."""
    return str(node.target)
