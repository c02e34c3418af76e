"""Cepstra: features made of them, and the variations that stand for other voices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch

from seqbench.tasks.speech.mfcc import (
    BANDS,
    envelope,
    features,
    hertz,
    mel,
    spoken,
    warped,
)
from seqbench.tasks.speech.variations import WARP_STEPS, Variation

RATE = 8000


def cepstra(frames: int = 9, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 20 * torch.randn(frames, 13, generator=generator, dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def band_centres() -> np.ndarray:
    """Return the centres of the 128 mel bands up to 4 kHz, in Hz."""
    edges = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    return np.asarray(700 * (10 ** (edges[1:-1] / 2595) - 1))


def test_the_mel_scale_and_back() -> None:
    """1000 Hz are 1000 mel, to rounding of the published constants."""
    assert float(mel(torch.tensor(1000.0))) == pytest.approx(1000, abs=0.02)
    values = torch.linspace(0, 8000, 9, dtype=torch.float64)
    torch.testing.assert_close(values, hertz(mel(values)))


def test_the_envelope_is_the_inverse_transform() -> None:
    """Cepstra beyond the 13th being zero, as scipy's inverse DCT says."""
    padded = np.pad(cepstra().numpy(), ((0, 0), (0, BANDS - 13)))
    expected = scipy.fft.idct(padded, norm="ortho")
    np.testing.assert_allclose(expected, envelope(cepstra()).numpy(), atol=1e-10)


@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_features_are_their_equations(frames: int, deltas: int) -> None:
    """Loud frames' means are subtracted; a delta sums two frames on each side, ends repeated."""
    given = cepstra(frames)
    given[1::3, 0] -= 400  # some frames are quiet: 400 / sqrt(128) = 35 dB
    c = given.numpy()
    level = c[:, 0] / math.sqrt(BANDS)
    parts = [c - c[level >= level.max() - 10].mean(axis=0)]
    for _ in range(deltas):
        last = parts[-1]
        delta = np.zeros_like(last)
        for t in range(frames):
            for r in (1, 2):
                after, before = min(t + r, frames - 1), max(t - r, 0)
                delta[t] += r * (last[after] - last[before]) / 10
        parts.append(delta)
    found = features(given, deltas)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), found.numpy(), atol=1e-12)


def test_silence_is_cut_off_and_raised() -> None:
    """Frames within 25 dB of the loudest and what lies between, one more at each end.

    Levels are of flat spectra, so cepstra above the first are zero; none is below -50 dB.
    """
    levels = torch.tensor([-90.0, -60, -30, -20, -80, 0, -10, -26, -70], dtype=torch.float64)
    given = torch.zeros(9, 13, dtype=torch.float64)
    given[:, 0] = levels * math.sqrt(BANDS)
    found = spoken(given)
    expected = torch.zeros(6, 13, dtype=torch.float64)
    expected[:, 0] = torch.tensor([-30.0, -20, -50, 0, -10, -26]) * math.sqrt(BANDS)
    torch.testing.assert_close(expected, found)


def test_a_recording_without_silence_is_left_as_it_is() -> None:
    """So is digital silence from end to end, and a single frame."""
    for given in (cepstra(), torch.zeros(4, 13).double(), cepstra(1)):
        torch.testing.assert_close(given, spoken(given))


def test_features_do_not_know_the_microphone() -> None:
    """A fixed filter or gain adds a constant to every frame's cepstra."""
    filtered = cepstra() + torch.linspace(-30, 30, 13, dtype=torch.float64)
    torch.testing.assert_close(features(cepstra(), 2), features(filtered, 2))


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.1])
def test_warping_moves_the_envelope_along_the_frequencies(factor: float) -> None:
    """On numpy's own interpolation of a smooth envelope, up to where 13 cepstra can follow."""
    smooth = torch.zeros(1, 13, dtype=torch.float64)
    smooth[0, [0, 1, 2, 3]] = torch.tensor([50.0, 20.0, -15.0, 10.0], dtype=torch.float64)
    before, after = envelope(smooth)[0].numpy(), envelope(warped(smooth, factor, RATE))[0].numpy()
    centres = band_centres()
    even = centres < 0.7 * RATE / 2 / factor
    expected = np.interp(factor * centres, centres, before)
    np.testing.assert_allclose(expected[even][1:], after[even][1:], atol=0.25)
    if factor == 1:
        torch.testing.assert_close(smooth, warped(smooth, factor, RATE))
    else:
        assert np.abs(after - before).max() > 1


def test_a_warp_bends_back_to_the_edge_of_the_band() -> None:
    """No frequency is taken from beyond half the sample rate, whichever way it is warped."""
    steep = torch.zeros(1, 13, dtype=torch.float64)
    steep[0, 1] = 50.0  # falls from the first band to the last
    low, high = envelope(steep)[0].min(), envelope(steep)[0].max()
    for factor in (0.8, 1.25):
        found = envelope(warped(steep, factor, RATE))[0]
        assert low - 0.3 <= found.min()
        assert found.max() <= high + 0.3
        assert float(found[-1]) == pytest.approx(float(low), abs=0.3)


# Variation


def test_at_zero_nothing_varies() -> None:
    nothing = Variation(warp=0, trim=0, noise=0, mask=0)
    start = generator().get_state()
    drawn = generator()
    assert torch.equal(cepstra(), nothing.of_cepstra(cepstra(), RATE, drawn))
    assert torch.equal(cepstra(), nothing.of_features(cepstra(), drawn))
    assert torch.equal(start, drawn.get_state())


@pytest.mark.parametrize("part", ["warp", "trim", "noise", "mask"])
def test_every_part_follows_its_generator_and_leaves_the_original(part: str) -> None:
    parameters: dict[str, Any] = {"warp": 0.0, "trim": 0, "noise": 0.0, "mask": 0}
    variation = Variation(**parameters | {part: 2 if part in ("trim", "mask") else 0.2})

    def draw(seed: int) -> torch.Tensor:
        original = cepstra()
        source = generator(seed)
        varied = variation.of_features(variation.of_cepstra(original, RATE, source), source)
        assert torch.equal(cepstra(), original)
        return varied

    assert torch.equal(draw(1), draw(1))
    others = [draw(seed) for seed in range(2, 8)]
    assert any(found.shape != draw(1).shape or not torch.equal(draw(1), found) for found in others)


def test_warps_are_drawn_from_both_ends_of_their_range() -> None:
    variation = Variation(warp=0.2, trim=0, noise=0, mask=0)
    source = generator()
    drawn = {tuple(variation.of_cepstra(cepstra(1), RATE, source)[0].tolist()) for _ in range(1000)}
    factors = [1 + 0.2 * step / WARP_STEPS for step in range(-WARP_STEPS, WARP_STEPS + 1)]
    expected = {tuple(warped(cepstra(1), factor, RATE)[0].tolist()) for factor in factors}
    assert expected == drawn


@pytest.mark.parametrize(("trim", "frames", "most"), [(2, 40, 2), (9, 20, 5), (2, 3, 0)])
def test_trims_cut_both_ends_and_at_most_a_quarter(trim: int, frames: int, most: int) -> None:
    variation = Variation(warp=0, trim=trim, noise=0, mask=0)
    values, source, seen = cepstra(frames), generator(), set()
    for _ in range(500):
        found = variation.of_cepstra(values, RATE, source)
        first = int((values[:, 0] == found[0, 0]).nonzero()[0, 0])
        assert torch.equal(values[first : first + len(found)], found)
        seen.add((first, frames - first - len(found)))
    assert seen == {(a, b) for a in range(most + 1) for b in range(most + 1)}


def test_noise_is_a_share_of_each_features_deviation() -> None:
    variation = Variation(warp=0, trim=0, noise=0.5, mask=0)
    values = cepstra(4000) * torch.linspace(0, 5, 13, dtype=torch.float64)
    added = variation.of_features(values, generator()) - values
    expected = 0.5 * values.std(dim=0, correction=0)
    torch.testing.assert_close(expected, added.std(dim=0, correction=0), rtol=0.06, atol=0)
    assert torch.equal(values[:, 0], variation.of_features(values, generator())[:, 0])


@pytest.mark.parametrize(("mask", "frames", "most"), [(3, 40, 3), (30, 40, 10), (5, 3, 0)])
def test_masks_are_frames_in_a_row_and_at_most_a_quarter(mask: int, frames: int, most: int) -> None:
    variation = Variation(warp=0, trim=0, noise=0, mask=mask)
    values, source, seen = cepstra(frames), generator(), set()
    for _ in range(300):
        found = variation.of_features(values, source)
        zero = (found == 0).all(dim=1)
        assert torch.equal(values[~zero], found[~zero])
        where = zero.nonzero().flatten().tolist()
        assert where == list(range(where[0], where[0] + len(where))) if where else True
        seen.add(len(where))
    assert seen == set(range(most + 1))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"warp": -0.1}, r"task\.warp must be in 0\.\.0\.5, not -0\.1"),
        ({"warp": 0.6}, r"task\.warp must be in 0\.\.0\.5, not 0\.6"),
        ({"trim": -1}, r"task\.trim must be at least 0 frames, not -1"),
        ({"noise": math.inf}, r"task\.noise must be at least 0, not inf"),
        ({"noise": math.nan}, r"task\.noise must be at least 0, not nan"),
        ({"mask": -1}, r"task\.mask must be at least 0 frames, not -1"),
    ],
)
def test_impossible_variations(parameters: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"warp": 0.0, "trim": 0, "noise": 0.0, "mask": 0}
    with pytest.raises(ValueError, match=message):
        Variation(**defaults | parameters)
