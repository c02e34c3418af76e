"""What can be known of a class without importing it: its source, read with :mod:`ast`.

``seqbench list``, ``seqbench describe``, help and TAB completion tell about models and tasks
without importing torch. They read docstrings, literal class attributes and typed signatures here,
through base classes and re-exports.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seqbench.errors import Refused
from seqbench.registry.modules import ModuleSource, assignments, read_module

UNSET = "???"
"""The default of a parameter that has none, as OmegaConf writes a missing value."""

_LEAVES = {"torch", *sys.stdlib_module_names}
_MAX_HOPS = 20
_CONTAINERS = {"MappingProxyType", "dict", "frozenset", "list", "set", "tuple"}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


@dataclass(frozen=True)
class Parameter:
    """A keyword-only constructor parameter: a key of the configuration.

    Args:
        name: its key.
        annotation: its type as text, aliases such as ``Backend`` spelled out; empty if it has none.
        default: its value; :data:`UNSET` if it has none.
        doc: what the docstring says, in one line.
    """

    name: str
    annotation: str
    default: Any = UNSET
    doc: str = ""


@dataclass(frozen=True)
class Call:
    """A call that stands as a constant, such as ``Metric("nll", "min", "nats per frame")``."""

    function: str
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class ClassSource:
    """A class as its source shows it."""

    module: ModuleSource
    node: ast.ClassDef

    @property
    def path(self) -> Path:
        """The file that defines it."""
        return self.module.path

    @property
    def docstring(self) -> str:
        """The class's docstring, indentation removed."""
        return ast.get_docstring(self.node) or ""

    @property
    def summary(self) -> str:
        """The docstring's first line."""
        return self.docstring.partition("\n")[0].strip()

    @property
    def description(self) -> str:
        """The docstring without its ``Args:`` section."""
        lines = self.docstring.splitlines()
        start = next((i for i, line in enumerate(lines) if line.strip() == "Args:"), len(lines))
        return "\n".join(lines[:start]).strip()

    @cached_property
    def bases(self) -> list[ClassSource]:
        """Direct base classes whose source is found; torch and the standard library left out."""
        found = (_lookup(self.module, _dotted(base), before=self.node) for base in self.node.bases)
        return [item for item in found if isinstance(item, ClassSource)]

    @cached_property
    def ancestors(self) -> list[str]:
        """Full dotted names of the class and of every base whose source is found, nearest first."""
        names = [f"{self.module.name}.{self.node.name}"]
        for base in self.bases:
            names += [name for name in base.ancestors if name not in names]
        return names

    @cached_property
    def constants(self) -> dict[str, Any]:
        """Public class attributes with literal values, the bases' included."""
        found: dict[str, Any] = {}
        for base in reversed(self.bases):
            found.update(base.constants)
        for statement in self.node.body:
            for name, value in assignments(statement).items():
                if not name.startswith("_"):
                    try:
                        found[name] = evaluate(self.module, value)
                    except ValueError:
                        found.pop(name, None)
        return found

    @cached_property
    def argument_docs(self) -> dict[str, str]:
        """What ``Args:`` sections say of each argument, the bases' included."""
        found: dict[str, str] = {}
        for base in reversed(self.bases):
            found.update(base.argument_docs)
        found.update(_argument_docs(self.docstring))
        if self._init is not None:
            found.update(_argument_docs(ast.get_docstring(self._init) or ""))
        return found

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The constructor's keyword-only parameters, then those it passes on as ``**kwargs``."""
        own: list[Parameter] = []
        if self._init is not None:
            arguments = self._init.args
            pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            own = [self._parameter(argument, default) for argument, default in pairs]
            if arguments.kwarg is None:
                return own
        inherited = next((base.parameters for base in self.bases if base._constructs), [])
        names = {parameter.name for parameter in own}
        docs = self.argument_docs
        passed_on = (item for item in inherited if item.name not in names)
        return own + [replace(item, doc=docs.get(item.name, "")) for item in passed_on]

    @property
    def misplaced(self) -> list[str]:
        """Constructor arguments that should be keyword-only and are not."""
        if self._init is None:
            return []
        positional = [*self._init.args.posonlyargs, *self._init.args.args]
        return [a.arg for a in positional[1:] if a.arg not in ("input_size", "context")]

    @property
    def _constructs(self) -> bool:
        return self._init is not None or any(base._constructs for base in self.bases)

    @property
    def _init(self) -> ast.FunctionDef | None:
        functions = (node for node in self.node.body if isinstance(node, ast.FunctionDef))
        return next((node for node in functions if node.name == "__init__"), None)

    def _parameter(self, argument: ast.arg, default: ast.expr | None) -> Parameter:
        annotation = ""
        if argument.annotation is not None:
            annotation = ast.unparse(_spell_out(self.module, argument.annotation))
        value: Any = UNSET
        if default is not None:
            try:
                value = evaluate(self.module, default)
            except ValueError:
                value = Call(ast.unparse(default))
        doc = self.argument_docs.get(argument.arg, "")
        return Parameter(argument.arg, annotation, value, doc)


def read_class(target: str) -> ClassSource:
    """Read the class that ``module:Class`` or ``path/to/file.py:Class`` names.

    Raises:
        Refused: there is no such module or class, or it cannot be read.
    """
    module_name, _, class_name = target.rpartition(":")
    module = read_module(module_name)
    if module is None:
        raise Refused(f"module '{module_name}' is not found")
    found = _lookup(module, [class_name])
    if not isinstance(found, ClassSource):
        raise Refused(f"module '{module_name}' has no class '{class_name}'")
    _refuse_cycles(found, ())
    return found


def _refuse_cycles(found: ClassSource, below: tuple[ast.ClassDef, ...]) -> None:
    if found.node in below:
        raise Refused(f"class {found.node.name} is among its own base classes")
    for base in found.bases:
        _refuse_cycles(base, (*below, found.node))


def evaluate(module: ModuleSource, node: ast.expr) -> Any:
    """Return the value of a literal expression, constants of other modules followed.

    Raises:
        ValueError: it is not literal, or has no value.
    """
    try:
        return _evaluate(module, node)
    except (TypeError, ArithmeticError, MemoryError, RecursionError) as error:
        raise ValueError(f"cannot evaluate: {type(error).__name__}") from error


def _evaluate(module: ModuleSource, node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Set):
        return [_evaluate(module, item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_evaluate(module, item) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = (_evaluate(module, key) for key in node.keys if key is not None)
        return dict(zip(keys, (_evaluate(module, value) for value in node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(module, node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(module, node.left), _evaluate(module, node.right)
        return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.Call):
        return _call(module, node)
    if isinstance(node, ast.Name | ast.Attribute):
        found = _lookup(module, _dotted(node))
        if isinstance(found, tuple):
            return _evaluate(*found)
    raise ValueError(f"{ast.unparse(node)} is not literal")


def _call(module: ModuleSource, node: ast.Call) -> Any:
    function = ast.unparse(node.func).rpartition(".")[2]
    arguments = tuple(_evaluate(module, item) for item in node.args)
    if function in _CONTAINERS and len(arguments) == 1:
        return arguments[0]
    keywords = tuple((str(item.arg), _evaluate(module, item.value)) for item in node.keywords)
    return Call(function, arguments, keywords)


def _lookup(
    module: ModuleSource, parts: list[str], hops: int = 0, before: ast.ClassDef | None = None
) -> ClassSource | tuple[ModuleSource, ast.expr] | None:
    """Find what a dotted name in a module stands for: a class, or an expression and its module.

    A class's bases are looked up ``before`` it: ``class A(A)`` extends what was A until then.
    """
    if not parts or hops > _MAX_HOPS:
        return None
    node = (module.names_before(before) if before else module.names).get(parts[0])
    if node is None:
        starred = (_lookup_absolute([*m.split("."), *parts], hops + 1) for m in module.star_imports)
        return next((found for found in starred if found is not None), None)
    if isinstance(node, str):
        return _lookup_absolute([*node.split("."), *parts[1:]], hops + 1)
    if isinstance(node, ast.ClassDef):
        if len(parts) == 1:
            return ClassSource(module, node)
        attributes: dict[str, ast.expr] = {}
        for statement in node.body:
            attributes.update(assignments(statement))
        value = attributes.get(parts[1])
        return (module, value) if value is not None and len(parts) == 2 else None
    if len(parts) > 1:
        return None
    if isinstance(node, ast.Name | ast.Attribute):
        return _lookup(module, _dotted(node), hops + 1)
    return (module, node)


def _lookup_absolute(
    parts: list[str], hops: int
) -> ClassSource | tuple[ModuleSource, ast.expr] | None:
    if parts[0] in _LEAVES:
        return None
    for length in range(len(parts) - 1, 0, -1):
        module = read_module(".".join(parts[:length]))
        if module is not None:
            return _lookup(module, parts[length:], hops)
    return None


def _spell_out(module: ModuleSource, annotation: ast.expr, hops: int = 0) -> ast.expr:
    """Replace type aliases in an annotation by what they stand for."""
    if hops > _MAX_HOPS:
        return annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _spell_out(module, ast.parse(annotation.value, mode="eval").body, hops + 1)
        except SyntaxError:
            return annotation
    if isinstance(annotation, ast.Name):
        found = _lookup(module, [annotation.id])
        if isinstance(found, tuple) and isinstance(found[1], ast.Subscript | ast.BinOp):
            return _spell_out(*found, hops + 1)
    if isinstance(annotation, ast.BinOp):
        left = _spell_out(module, annotation.left, hops + 1)
        right = _spell_out(module, annotation.right, hops + 1)
        return ast.BinOp(left, annotation.op, right)
    return annotation


def _dotted(node: ast.expr) -> list[str]:
    """Split ``a.b.c`` into its names, subscripts dropped; anything else is empty."""
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return [*head, node.attr] if head else []
    return []


def _argument_docs(docstring: str) -> dict[str, str]:
    """Read the ``Args:`` section of a Google docstring, each entry in one line."""
    lines = inspect.cleandoc(docstring).splitlines()
    found: dict[str, list[str]] = {}
    name = ""
    inside = False
    for line in lines:
        if line.strip() == "Args:":
            inside = True
        elif inside and line and not line.startswith(" "):
            break
        elif inside and (match := re.match(r" {4}\*{0,2}(\w+)(?: \([^)]*\))?: *(.*)", line)):
            name = match.group(1)
            found[name] = [match.group(2)]
        elif inside and name and line.strip():
            found[name].append(line.strip())
    return {name: " ".join(text).strip() for name, text in found.items()}
