"""One training on several devices: a process (a *rank*) for each, and what they share."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

_GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"


@dataclass(frozen=True)
class Rank:
    """Which of a training's processes this one is.

    Args:
        number: from 0, which is the process that runs the trial; and of its device.
        size: how many there are.
    """

    number: int = 0
    size: int = 1


def meeting_place(rank: Rank, port: int = 0) -> Any:
    """Return the ``TCPStore`` in which ranks meet: the first opens it, on a free ``port``."""
    first = rank.number == 0
    return dist.TCPStore("127.0.0.1", port, rank.size, first, wait_for_workers=False)  # type: ignore[attr-defined]


@contextmanager
def joined(rank: Rank, store: Any, device: str) -> Iterator[Rank]:
    """Connect this process with the others; all of them have to enter.

    Args:
        rank: of this process.
        store: from :func:`meeting_place`.
        device: ``cpu`` or ``cuda``.
    """
    backend = "nccl" if device == "cuda" else "gloo"
    with _loopback():
        dist.init_process_group(backend, store=store, rank=rank.number, world_size=rank.size)
    try:
        yield rank
    finally:
        dist.destroy_process_group()


def in_lightning(rank: Rank) -> dict[str, Any]:
    """Return the arguments of Lightning's trainer that say which rank a process is.

    Nothing is left to environment variables: a trial within a Slurm job is no member of a training
    that Slurm has distributed.
    """
    options: dict[str, Any] = {"devices": rank.size, "plugins": [_Environment(rank)]}
    if rank.size > 1:
        options["strategy"] = _Strategy()
    return options


def whole_batch(total: Tensor, count: int) -> tuple[float, int]:
    """Return the sums over all ranks of a batch's loss, and of how many losses it sums."""
    sums = torch.stack([total.detach().double(), total.new_tensor(count, dtype=torch.float64)])
    dist.all_reduce(sums)
    whole, counted = sums.tolist()
    return whole, round(counted)


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Sum each parameter's gradient over all ranks; what no rank has used keeps none.

    In one message, which for models of this size is faster than the many of torch's
    ``DistributedDataParallel``; and a rank may use a parameter in one step and not in another.
    """
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    used = gradients[0].new_tensor([p.grad is not None for p in parameters])
    message = torch.cat([used, *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(message)
    used, *sums = torch.split(
        message, [len(gradients), *(gradient.numel() for gradient in gradients)]
    )
    for parameter, ranks, found in zip(parameters, used.tolist(), sums, strict=True):
        parameter.grad = found.view_as(parameter).to(parameter.dtype) if ranks else None


class OwnSignals(Callback):
    """Takes SIGTERM back from Lightning, whose handler talks to the other ranks in mid-step."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)
        if self._handler == signal.SIG_DFL:
            self._handler = signal.default_int_handler

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put back what was to happen; Lightning itself puts it back once training has ended."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


class _Environment(LightningEnvironment):
    """Tells Lightning the rank of this process, whatever environment variables say."""

    def __init__(self, rank: Rank) -> None:
        super().__init__()
        self._rank = rank
        self.set_global_rank(rank.number)
        self.set_world_size(rank.size)

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._rank.number

    def node_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        pass


class _Strategy(DDPStrategy):
    def _configure_launcher(self) -> None:
        """Launch nothing: Lightning's launcher would set the number of threads, too."""
        self._launcher = None

    def configure_ddp(self) -> None:
        """Leave the module as it is: :func:`sum_gradients` does what a wrapper would."""


@contextmanager
def _loopback() -> Iterator[None]:
    """Have gloo talk within this machine, whatever its host name resolves to."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if _GLOO_INTERFACE in os.environ or not names:
        yield
        return
    os.environ[_GLOO_INTERFACE] = names[0]
    try:
        yield
    finally:
        del os.environ[_GLOO_INTERFACE]
