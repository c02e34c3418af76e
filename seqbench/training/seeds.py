"""One seed for each axis of chance, derived from the trial's seed.

Two models trained with the same trial seed see the same data in the same order: their results are
pairs.
"""

from __future__ import annotations

import hashlib
import random
from typing import Literal

import numpy as np
import torch

Axis = Literal["initialisation", "order", "dropout", "augmentation", "audit"]


def derive(seed: int, axis: Axis, *counters: int) -> int:
    """Return the 63-bit seed of an axis, and of an epoch or example of it if counters say so."""
    text = "/".join([str(seed), axis, *map(str, counters)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int, device: torch.device) -> None:
    """Seed what predictions can draw from on a device: of torch, NumPy and Python.

    ``torch.manual_seed`` seeds every kind of device, in as much time as a small prediction takes.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)
    random.seed(seed)
