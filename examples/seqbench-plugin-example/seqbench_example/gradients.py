"""A callback of every training: how large do gradients get?"""

from __future__ import annotations

import sys
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Gradients(Callback):
    """Says at the end of training how large the gradient's norm was at most, before clipping."""

    def __init__(self) -> None:
        self._largest = 0.0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Look at the gradients of all weights together."""
        norms = [weight.grad.norm() for weight in pl_module.parameters() if weight.grad is not None]
        self._largest = max(self._largest, float(torch.stack(norms).norm()))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write one line to standard error."""
        sys.stderr.write(f"largest gradient norm: {self._largest:.3g}\n")
