"""What a compiled back end works from.

A cell's equations and their derivatives as graphs, and its weights in the order in which the engine
multiplies them. A step is a product of the inputs, a product of each state that feeds back, and the
pointwise equations between them. Backwards, only the equations' derivative and the gradient of the
states are serial; the gradient of each weight is one product after the loop over time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from seqbench.nn.cell import Cell, Named, weight_name


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


@dataclass(frozen=True)
class Source:
    """What feeds back through weights into a range of pre-activations."""

    name: str
    start: int
    stop: int
    """The first slot that sees it, and the one after the last."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A cell as the engine sees it."""

    slots: tuple[str, ...]
    """Pre-activations in the order of their columns: input terms, sums, recurrent terms."""
    input_slots: int
    """The first so many slots have an input term."""
    states: tuple[str, ...]
    vectors: tuple[str, ...]
    fed: tuple[Source, ...]
    """States that feed back."""
    inner: tuple[Source, ...]
    """Values of the step itself that feed back, made by ``between``."""
    equations: Equations
    between: Equations | None

    def __str__(self) -> str:
        """Return what tells this structure from another."""
        parts = (self.slots, self.input_slots, self.states, self.vectors, self.fed, self.inner)
        return f"{parts} {self.equations} {self.between}"

    def weights(self, cell: Cell) -> list[Tensor]:
        """Return what the engine multiplies with, under autograd.

        Returns:
            The input weights ``[input_slots * H, F]``, their bias ``[input_slots * H]`` and for
            each of :attr:`fed` and :attr:`inner` its weights ``[(stop - start) * H, H]``.
        """
        order = [_gate_of(cell, slot) for slot in self.slots]
        weight, bias = cell.input_weight(order[: self.input_slots])
        if bias is None:
            bias = weight.new_zeros(len(weight))
        recurrent = [
            cell.recurrent_weight(source.name, order[source.start : source.stop])
            for source in (*self.fed, *self.inner)
        ]
        return [weight, bias, *recurrent]


def structure(cell: Cell, dtype: torch.dtype) -> Structure:
    """Trace a cell's equations.

    Raises:
        Unsupported: an operation of the equations is not elementwise, or cannot be traced.
    """
    before = _identity(cell)
    key = (dtype, before)
    if key not in _STRUCTURES:
        _TRACES[type(cell)] += 1
        if _TRACES[type(cell)] > MOST_TRACES:
            raise Unsupported("its equations change too often to be compiled each time")
        try:
            traced = _trace_cell(cell, dtype)
            if _identity(cell) != before:
                raise Unsupported("its equations change the cell")
            _STRUCTURES[key] = traced
        except Unsupported as error:
            _STRUCTURES[key] = Unsupported(str(error))  # without the frames that it refers to
    found = _STRUCTURES[key]
    if isinstance(found, Unsupported):
        raise Unsupported(str(found))
    return found


MOST_TRACES = 100
"""Structures of one class; beyond, a number that changes all the time is the likelier cause."""

_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module())) - {"training"}
_STRUCTURES: dict[Hashable, Structure | Unsupported] = {}
_TRACES: Counter[type[Cell]] = Counter()


def _identity(cell: Cell) -> Hashable:
    """Return all that the equations may use of a cell: the same for cells that share a structure.

    Raises:
        Unsupported: it has an attribute that may change without notice.
    """
    classes = type(cell).__mro__[: type(cell).__mro__.index(Cell)]
    code = [
        (name, _fingerprint(value))
        for kind in classes
        for name, value in vars(kind).items()
        if not name.startswith("__") and name != "_abc_impl"
    ]
    return (type(cell), tuple(code), _state_of(cell))


def _state_of(module: torch.nn.Module) -> Hashable:
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
    children = tuple((name, type(m), _state_of(m)) for name, m in module.named_children())
    if any(True for _ in module.buffers(recurse=False)):
        raise Unsupported("its equations may use a buffer")
    return (tuple((name, _fingerprint(value)) for name, value in sorted(own.items())), children)


def _fingerprint(value: Any) -> Hashable:
    if isinstance(value, tuple | list):
        return (type(value), tuple(_fingerprint(part) for part in value))
    if isinstance(value, Mapping):
        return (type(value), tuple((key, _fingerprint(part)) for key, part in value.items()))
    if isinstance(value, bool | int | float | str | None | torch.dtype) or callable(value):
        return (type(value), value)
    if isinstance(value, property | staticmethod | classmethod):
        return value
    raise Unsupported(f"its equations may use a {type(value).__name__}, which may change")


def check_tensors(cell: Cell, values: Tensor) -> None:
    """Raise :class:`Unsupported` unless all is what the generated code takes it for."""
    hidden, gates = cell.hidden_size, len(cell.gates)
    expected: dict[str, tuple[int, ...]] = {"weight_ih": (gates * hidden, cell.input_size)}
    if cell.bias is not None:
        expected["bias"] = (gates * hidden,)
    for source, seen_by in cell.sources().items():
        expected[weight_name(source)] = (len(seen_by) * hidden, hidden)
    expected |= dict.fromkeys(cell.vectors, (hidden,))
    for name, shape in expected.items():
        tensor = getattr(cell, name)
        if tuple(tensor.shape) != shape:
            raise Unsupported(f"{name} is {list(tensor.shape)}, not {list(shape)}")
        if tensor.dtype != cell.weight_ih.dtype:
            raise Unsupported(f"{name} is {tensor.dtype}, weight_ih {cell.weight_ih.dtype}")
        if tensor.device != values.device:
            raise Unsupported(f"{name} is on {tensor.device}, the data on {values.device}")
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            raise Unsupported(f"{name} is a {type(tensor).__name__}")
    if type(values) not in (Tensor, torch.nn.Parameter):
        raise Unsupported(f"the data is a {type(values).__name__}")
    if is_functorch_wrapped_tensor(values) or is_functorch_wrapped_tensor(cell.weight_ih):
        raise Unsupported("torch.func transforms it")
    if torch._C._get_tracing_state() is not None:
        raise Unsupported("torch.jit traces it")


def _trace_cell(cell: Cell, dtype: torch.dtype) -> Structure:
    slots, states, vectors = cell.slots(), cell.states, tuple(cell.vectors)
    input_slots = len(cell.gates)

    def source(name: str) -> Source:
        seen = [
            i
            for i, slot in enumerate(slots)
            if i >= len(cell.separate) and _gate_of(cell, slot) in cell.sources()[name]
        ]
        if not seen:
            raise Unsupported(f"no gate sees {name}")
        return Source(name, seen[0], seen[-1] + 1)

    heard = {gate for seen_by in cell.sources().values() for gate in seen_by}
    for gate in cell.separate:
        if gate not in heard:
            raise Unsupported(f"nothing feeds back into the separate gate {gate}")
    fed = tuple(source(name) for name in cell.sources() if name not in cell.inner)
    inner = tuple(source(name) for name in cell.inner)
    early = cell.early()

    def named(count: int, values: Sequence[Tensor]) -> tuple[Named, Named, Named]:
        names = slots if count == len(slots) else early
        state_end = count + len(states)
        return (
            Named(names, values[:count]),
            Named(states, values[count:state_end]),
            Named(vectors, values[state_end:]),
        )

    def equations(*values: Tensor) -> list[Tensor]:
        return list(cell.pick_states(cell.equations(*named(len(slots), values))))

    def between(*values: Tensor) -> list[Tensor]:
        early_values = [values[i] for i, slot in enumerate(slots) if slot in early]
        made = cell.between(*named(len(early), [*early_values, *values[len(slots) :]]))
        return [made[name] for name in cell.inner]

    counts = (len(slots), len(states) + len(vectors))
    # Of the real width, for equations may divide by it.
    example = torch.full((2, cell.hidden_size), 0.5, dtype=dtype)
    return Structure(
        slots,
        input_slots,
        states,
        vectors,
        fed,
        inner,
        _trace(equations, counts, len(states), example),
        _trace(between, counts, len(inner), example) if inner else None,
    )


def _trace(
    function: Callable[..., list[Tensor]],
    arguments: tuple[int, int],
    outputs: int,
    like: Tensor,
) -> Equations:
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


def _gate_of(cell: Cell, slot: str) -> str:
    return slot if slot in cell.gates else slot[: -len("_x")]
