"""Which back end really ran a recurrence, found by looking at the operations executed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from seqbench.api import Batch
from seqbench.nn.backends import RAN
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
        ``cpu`` or ``cuda`` for the compiled engine; ``reference`` for a loop over time in Python,
        with the reason in parentheses where it took a compiled one's place; ``native (cuDNN)``,
        ``native (oneDNN)`` or ``native (ATen)``, torch's own loop, for its kernels; joined by
        ``+`` where the layers differ.
    """
    inputs = batch.inputs.to(predictor.head.weight.device)
    predictor.train()
    operations, functions = _Operations(), _Functions()
    before = Counter(RAN)
    with functions, operations:
        predictor(inputs)
    seen = set(RAN - before)
    kernels = {
        backend
        for operation, backend in KERNELS.items()
        if any(name.startswith(operation) for name in operations.names)
    }
    if not kernels and functions.names & set(ATEN_LOOPS):
        kernels = {"native (ATen)"}
    return " + ".join(sorted(seen | kernels)) or "the model's own"


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
