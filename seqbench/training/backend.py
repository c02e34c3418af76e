"""Which back end really ran a recurrence, found by looking at the operations executed."""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from seqbench.api import Batch
from seqbench.nn import Cell
from seqbench.training.predictor import Predictor

KERNELS = {
    "aten._cudnn_rnn": "native (cuDNN)",
    "aten.mkldnn_rnn_layer": "native (oneDNN)",
}
"""Operations that are a vendor's recurrent kernel."""

ATEN_LOOPS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
"""Functions of torch that loop over time themselves where no vendor's kernel takes over."""


def observe_backend(predictor: Predictor, batch: Batch) -> str:
    """Run one batch as in training, and return what ran the recurrence.

    Returns:
        ``native (cuDNN)``, ``native (oneDNN)``, ``native (ATen)`` for torch's own loop, or
        ``reference`` for a loop over time in Python.
    """
    inputs = batch.inputs.to(predictor.head.weight.device)
    predictor.train()
    operations, functions = _Operations(), _Functions()
    with functions, operations:
        predictor(inputs)
    for operation, backend in KERNELS.items():
        if any(name.startswith(operation) for name in operations.names):
            return backend
    if functions.names & set(ATEN_LOOPS):
        return "native (ATen)"
    has_cell = any(isinstance(module, Cell) for module in predictor.modules())
    return "reference" if has_cell else "the model's own"


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
