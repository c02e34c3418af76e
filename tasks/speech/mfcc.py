"""Mel-frequency cepstral coefficients (MFCC): what is made of them, and how they are varied.

The coefficients c of a frame are the first 13 of the orthonormal DCT-II of a log mel spectrum of N
= 128 bands, in decibels (Davis & Mermelstein 1980)::

    c_k = sum_n B_kn s_n,    B_kn = sqrt((2 - [k = 0]) / N) cos(pi k (n + 1/2) / N)

B has orthonormal rows, so its transpose turns cepstra back into the spectrum's smooth envelope.

Legend: T frames, C = 13 cepstra, N bands.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

CEPSTRA = 13
BANDS = 128
WINDOW_SECONDS = 0.05
HOP_SECONDS = 0.025
DELTA_REACH = 2
"""Frames on each side that a delta coefficient looks at."""
RANGE_DECIBELS = 50.0
SPEECH_DECIBELS = 25.0
VOWEL_DECIBELS = 10.0
WARP_KNEE = 0.8
"""Share of the band that is warped evenly; above it the warp bends back to the band's edge."""


def mel(hertz: Tensor) -> Tensor:
    """Return frequencies on the mel scale: ``2595 log10(1 + f / 700)`` (O'Shaughnessy 1987)."""
    return 2595 * torch.log10(1 + hertz / 700)


def hertz(mels: Tensor) -> Tensor:
    """Return the frequencies in Hz, the inverse of :func:`mel`."""
    return 700 * (10 ** (mels / 2595) - 1)


def envelope(cepstra: Tensor) -> Tensor:
    """Return the smooth log mel spectrum ``[T, 128]`` in decibels of cepstra ``[T, 13]``."""
    return cepstra @ _band_cosines().to(cepstra.dtype)


def spoken(cepstra: Tensor) -> Tensor:
    """Return the part of a recording in which someone speaks ``[T', 13]``, of cepstra ``[T, 13]``.

    The envelope is raised to at least 50 dB below its peak, so that digital silence and a quiet
    room look alike; then the frames before the first and after the last that comes within 25 dB of
    the loudest are cut off, all but one at each end (endpoints by energy, Rabiner & Sambur 1975).
    """
    spectrum = envelope(cepstra)
    raised = torch.maximum(spectrum, spectrum.max() - RANGE_DECIBELS)
    cepstra = raised @ _band_cosines().T.to(cepstra.dtype)
    heard = _within(cepstra, SPEECH_DECIBELS).nonzero()
    return cepstra[max(0, int(heard[0]) - 1) : int(heard[-1]) + 2]


def features(cepstra: Tensor, deltas: int) -> Tensor:
    """Return what a model sees ``[T, 13 (1 + deltas)]`` of cepstra ``[T, 13]``.

    Each coefficient's mean over the frames within 10 dB of the loudest, the vowels, is subtracted:
    that takes out the microphone and the voice's long-term spectrum (cepstral mean subtraction,
    Atal 1974). Then come deltas, and deltas of deltas (Furui 1986)::

        d_t = sum_{r=1..2} r (c_{t+r} - c_{t-r}) / 10

    where frames beyond either end equal the last one.
    """
    parts = [cepstra - cepstra[_within(cepstra, VOWEL_DECIBELS)].mean(dim=0)]
    for _ in range(deltas):
        parts.append(_delta(parts[-1]))
    return torch.cat(parts, dim=1)


def warped(cepstra: Tensor, factor: float, sample_rate: int) -> Tensor:
    """Return cepstra ``[T, 13]`` as of a vocal tract of another length.

    The envelope at frequency f becomes what it was at ``factor * f``, up to a knee at 0.8 of the
    band; above, a straight line leads to the band's edge (vocal tract length perturbation, Jaitly &
    Hinton 2013; a linear map of cepstra, Pitz & Ney 2005).

    Args:
        cepstra: of any number of frames.
        factor: above 1, formants move down.
        sample_rate: of the sound, Hz.
    """
    return cepstra @ _warp(factor, sample_rate).to(cepstra.dtype)


@lru_cache(maxsize=256)
def _warp(factor: float, sample_rate: int) -> Tensor:
    """Return the matrix ``[13, 13]`` that warps cepstra from the right."""
    edge = sample_rate / 2
    step = mel(torch.tensor(edge, dtype=torch.float64)) / (BANDS + 1)  # between centres of bands
    centre = hertz(step * torch.arange(1, BANDS + 1, dtype=torch.float64))
    knee = edge * WARP_KNEE * min(factor, 1) / factor
    above = edge - (edge - knee * factor) / (edge - knee) * (edge - centre)
    moved = torch.where(centre <= knee, centre * factor, above)
    return _cosines(mel(moved) / step - 1) @ _band_cosines().T


@lru_cache(maxsize=1)
def _band_cosines() -> Tensor:
    """Return the cosines ``[13, 128]`` of all bands."""
    return _cosines(torch.arange(BANDS))


def _within(cepstra: Tensor, decibels: float) -> Tensor:
    """Return ``[T]`` bool: frames whose mean level is this near to the loudest frame's."""
    level = cepstra[:, 0] / math.sqrt(BANDS)
    return level >= level.max() - decibels


def _delta(values: Tensor) -> Tensor:
    reach = DELTA_REACH
    first, last = values[:1].expand(reach, -1), values[-1:].expand(reach, -1)
    padded, steps = torch.cat([first, values, last]), len(values)
    total = torch.zeros_like(values)
    for r in range(1, reach + 1):
        total += r * (padded[reach + r :][:steps] - padded[reach - r :][:steps])
    return total / (2 * sum(r * r for r in range(1, reach + 1)))


def _cosines(bands: Tensor) -> Tensor:
    """Return B ``[13, N]`` at bands that need not be whole numbers, float64."""
    order = torch.arange(CEPSTRA, dtype=torch.float64)[:, None]
    scale = torch.full_like(order, math.sqrt(2 / BANDS))
    scale[0] = math.sqrt(1 / BANDS)
    return scale * torch.cos(math.pi / BANDS * order * (bands.double() + 0.5))
