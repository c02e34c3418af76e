"""Which back end really ran a recurrence, found by looking at the operations executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from seqbench.nn.backends import BACKENDS
from seqbench.nn.backends.base import RAN


def observe(run: Callable[[], object]) -> str:
    """Call a function, and return what ran the recurrences in it.

    Returns:
        Names of back ends, joined by ``+`` where they differ; ``reference`` with the reason in
        parentheses where it took another's place; ``native`` with the vendor of the kernel, also of
        torch's own layers; empty where none ran.
    """
    operations, functions = _Operations(), _Functions()
    before = Counter(RAN)
    with functions, operations:
        run()
    found = set(RAN - before)
    for name, backend in BACKENDS.items():
        kernels = backend.seen_in(operations.names, functions.names)
        if kernels:
            found = (found - {name}) | {f"{name} ({kernel})" for kernel in kernels}
    return " + ".join(sorted(found))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own base
    """Collects the names of the operations below autograd."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    """Collects the names of torch's functions as Python calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))
