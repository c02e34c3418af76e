"""Random variations of training recordings: what another voice or microphone would change."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqbench.tasks.speech.mfcc import warped

MAX_WARP = 0.5
WARP_STEPS = 10
"""Lengths on each side of the true one: few, so that their matrices are made once."""


class Variation:
    """Draws a variation of a recording from a generator; at zero each part does nothing.

    ``warp``: vocal tract length perturbation (Jaitly & Hinton 2013), the factor one of 21 from ``1
    - warp`` to ``1 + warp``. ``trim``: frames cut off at either end. ``noise``: Gaussian.
    ``mask``: frames set to zero, a feature's mean (SpecAugment's time masking, Park et al. 2019).

    Args:
        warp: at most :data:`MAX_WARP`.
        trim: frames at each end, at most; never more than a quarter of the recording.
        noise: standard deviation, as a share of each feature's in the recording.
        mask: frames in a row, at most; never more than a quarter of the recording.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, warp: float, trim: int, noise: float, mask: int) -> None:
        if not 0 <= warp <= MAX_WARP:
            raise ValueError(f"task.warp must be in 0..{MAX_WARP}, not {warp}")
        if trim < 0:
            raise ValueError(f"task.trim must be at least 0 frames, not {trim}")
        if not (noise >= 0 and math.isfinite(noise)):
            raise ValueError(f"task.noise must be at least 0, not {noise}")
        if mask < 0:
            raise ValueError(f"task.mask must be at least 0 frames, not {mask}")
        self._warp = warp
        self._trim = trim
        self._noise = noise
        self._mask = mask

    def of_cepstra(self, cepstra: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        """Return cepstra ``[T', 13]`` of another voice and other cuts, from ``[T, 13]``."""
        if most := min(self._trim, len(cepstra) // 4):
            first, last = torch.randint(most + 1, (2,), generator=generator).tolist()
            cepstra = cepstra[first : len(cepstra) - last]
        if self._warp:
            step = int(torch.randint(-WARP_STEPS, WARP_STEPS + 1, (), generator=generator))
            cepstra = warped(cepstra, 1 + self._warp * step / WARP_STEPS, sample_rate)
        return cepstra

    def of_features(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """Return features ``[T, F]`` with noise and missing frames."""
        if self._noise:
            spread = values.std(dim=0, correction=0)
            noise = torch.randn(values.shape, generator=generator, dtype=values.dtype)
            values = values + self._noise * spread * noise
        if longest := min(self._mask, len(values) // 4):
            masked = int(torch.randint(longest + 1, (), generator=generator))
            first = int(torch.randint(len(values) - masked + 1, (), generator=generator))
            values = values.clone()
            values[first : first + masked] = 0
        return values
