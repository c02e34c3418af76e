"""Wav files, byte by byte: what is read, as another reader reads it, and what is refused."""

from __future__ import annotations

import io
import struct
import warnings
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile

from seqbench.config.userdata import Bad
from seqbench.tasks.speech.wav import MOST_RATE, read_wav

RATE = 8000
SOUND = np.sin(np.arange(450) / 5) * np.linspace(1, 0, 450)
PCM = bytes.fromhex("0100000000001000800000aa00389b71")
Check = Callable[..., None]


def part(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def sample_format(kind: int, bits: int, rate: int = RATE, channels: int = 1) -> bytes:
    width = channels * bits // 8
    return struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits)


def riff(*parts: bytes) -> bytes:
    content = b"WAVE" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def wav(kind: int, bits: int, data: bytes, *before: bytes, rate: int = RATE) -> bytes:
    return riff(part(b"fmt ", sample_format(kind, bits, rate)), *before, part(b"data", data))


def pcm(bits: int) -> bytes:
    """Return the sound as whole numbers of so many bits."""
    whole = np.round(SOUND * (2.0 ** (bits - 1) - 1)).astype(np.int64)
    if bits == 8:
        return (whole + 128).astype(np.uint8).tobytes()
    return b"".join(int(sample).to_bytes(bits // 8, "little", signed=True) for sample in whole)


def extensible(bits: int, data: bytes, subformat: bytes = PCM) -> bytes:
    fields = sample_format(0xFFFE, bits) + struct.pack("<HHI", 22, bits, 4) + subformat
    return riff(part(b"fmt ", fields), part(b"data", data))


NOTE = part(b"LIST", b"INFOINAM\x03\0\0\0abc")  # odd, so a byte follows it
FLOAT_32, FLOAT_64 = (SOUND.astype(kind).tobytes() for kind in ("<f4", "<f8"))
GOOD = {
    **{f"{bits} bits": wav(1, bits, pcm(bits)) for bits in (8, 16, 24, 32)},
    "32-bit float": wav(3, 32, FLOAT_32),
    "64-bit float": wav(3, 64, FLOAT_64),
    "extensible": extensible(16, pcm(16)),
    "extensible float": extensible(32, FLOAT_32, b"\3" + PCM[1:]),
    "an odd part before": wav(1, 16, pcm(16), NOTE),
    "an odd part after": riff(
        part(b"fmt ", sample_format(1, 16)), part(b"data", pcm(16)), part(b"junk", b"abc")
    ),
    "an odd number of bytes": wav(1, 8, pcm(8)[:449]),
    "a longer format": riff(part(b"fmt ", sample_format(1, 16) + b"\0\0"), part(b"data", pcm(16))),
}


def reader(path: Path) -> Callable[[bytes], np.ndarray]:
    def read(content: bytes) -> np.ndarray:
        path.write_bytes(content)
        return read_wav(path, RATE)

    return read


def wave_reads(content: bytes) -> np.ndarray:
    """Return samples by Python's ``wave``, or by scipy where that knows no floats."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            assert file.getnchannels() == 1
            width, count = file.getsampwidth(), file.getnframes()
            data, rate = file.readframes(count), file.getframerate()
    except wave.Error:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that it does not know
            rate, samples = scipy.io.wavfile.read(io.BytesIO(content))
        scales = {"u": 128, "i": 2.0 ** (8 * samples.itemsize - 1), "f": 1}
        offset = 128 if samples.dtype.kind == "u" else 0
        return np.append((samples - float(offset)) / scales[samples.dtype.kind], rate)
    assert len(data) == width * count
    signed = width > 1
    whole = [
        int.from_bytes(data[at : at + width], "little", signed=signed) - (0 if signed else 128)
        for at in range(0, len(data), width)
    ]
    return np.append(np.array(whole) / 2.0 ** (8 * width - 1), rate)


def equal(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether samples agree to a float's rounding; at another rate their number tells."""
    *samples, rate = expected
    if rate != RATE:
        return abs(len(found) - len(samples) * RATE / rate) <= 1
    smallest = 1e-37  # of 32 bits
    return len(found) == len(samples) and np.allclose(found, samples, rtol=1e-6, atol=smallest)


@pytest.mark.parametrize("case", GOOD)
def test_every_form_of_sample_is_read(tmp_path: Path, case: str) -> None:
    found = reader(tmp_path / "x.wav")(GOOD[case])
    step = 2.0**-7 if "8" in case or "odd number" in case else 2.0**-15
    np.testing.assert_allclose(found, SOUND[: len(found)], atol=2 * step)
    assert equal(found, wave_reads(GOOD[case]))


@pytest.mark.parametrize("kind", [6, 7])
def test_telephone_codes_are_read(tmp_path: Path, kind: int) -> None:
    """A-law and mu-law, by the standard's decoding (ITU-T G.711)."""
    codes = bytes(range(256)) * 2
    found = reader(tmp_path / "x.wav")(wav(kind, 8, codes))
    expected = []
    for code in codes[:256]:
        bits = code ^ (0x55 if kind == 6 else 0xFF)
        exponent, mantissa = bits >> 4 & 7, bits & 15
        if kind == 6:
            size = (mantissa * 2 + 1 + 32 * (exponent > 0)) * 8 << max(exponent - 1, 0)
        else:
            size = ((mantissa * 2 + 33) << exponent + 2) - 132
        negative = (bits & 0x80) == (0 if kind == 6 else 0x80)
        expected.append(-size if negative else size)
    np.testing.assert_allclose(found[:256], np.array(expected) / 32768, atol=1e-9)


def floats(*changed: tuple[int, float], scale: float = 1) -> bytes:
    samples = SOUND * scale
    for at, value in changed:
        samples[at] = value
    return wav(3, 64, samples.astype("<f8").tobytes())


TRUNCATED = wav(1, 16, pcm(16))[:-400]
BAD = {
    "empty": (b"", "it is empty"),
    "text": (b"no sound", "byte 0: it begins with b'no s' and b'', not with RIFF and WAVE: it is"),
    "FLAC": (b"fLaC" + bytes(900), "it is no wav file; convert it"),
    "NIST": (b"NIST_1A\n   1024\n" + bytes(900), "it begins with b'NIST'"),
    "RF64": (b"RF64" + wav(1, 16, pcm(16))[4:], "it begins with b'RF64'"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "and b'AVI ', not with"),
    "half a header": (wav(1, 16, pcm(16))[:20], "a part b'fmt ' declares 16 bytes and 0 are left"),
    "no data": (
        riff(part(b"fmt ", sample_format(1, 16))),
        "byte 36: it ends without a part b'data'",
    ),
    "no format": (riff(part(b"data", pcm(16))), "ends without a part b'fmt '"),
    "half a format": (
        riff(part(b"fmt ", b"\1\0\1\0"), part(b"data", b"")),
        "its format has 4 bytes",
    ),
    "truncated": (TRUNCATED, "byte 36: it declares 450 samples and holds 250; copy or convert it"),
    "a stream": (
        wav(1, 16, pcm(16)).replace(struct.pack("<I", 900), b"\xff\xff\xff\xff"),
        "byte 36: it declares 2,147,483,647 samples and holds 450",
    ),
    "two formats": (
        riff(*[part(b"fmt ", sample_format(1, 16))] * 2, part(b"data", pcm(16))),
        "byte 36: it has two parts b'fmt '",
    ),
    "small whole": (b"RIFF\x40\0\0\0" + wav(1, 16, pcm(16))[8:], "byte 4: it declares 64 bytes"),
    "half a sample": (wav(1, 16, pcm(16)[:-1]), "byte 36: its sound has 899 bytes, which"),
    "stereo": (
        riff(part(b"fmt ", sample_format(1, 16, channels=2)), part(b"data", pcm(16))),
        "it has 2 channels; make it mono",
    ),
    "no channel": (
        riff(part(b"fmt ", sample_format(1, 16, channels=0)), part(b"data", pcm(16))),
        "it has 0 channels; make it mono",
    ),
    "12 bits": (
        wav(1, 12, pcm(16)),
        "it declares 12 bits in 1 bytes of a sample; a sample has 8, 1",
    ),
    "16-bit float": (wav(3, 16, pcm(16)), "a sample has 32, 64 bits"),
    "ADPCM": (wav(17, 4, pcm(16)), "its sound is compressed (format 17); convert it to PCM"),
    "MP3 inside": (wav(85, 8, pcm(16)), "its sound is compressed (format 85)"),
    "another subformat": (extensible(16, pcm(16), bytes(range(16))), "its format is none of PCM"),
    "low rate": (wav(1, 16, pcm(16), rate=6000), "it has 6000 samples a second, fewer than task."),
    "no rate": (wav(1, 16, pcm(16), rate=0), "it has 0 samples a second, fewer than"),
    "high rate": (
        wav(1, 16, pcm(16), rate=800_000),
        f"byte 24: it declares 800,000 samples a second, more than {MOST_RATE:,}",
    ),
    "rates differ": (
        wav(1, 16, pcm(16)).replace(struct.pack("<I", 16_000), struct.pack("<I", 32_000)),
        "it declares 8,000 samples and 32,000 bytes a second",
    ),
    "no samples": (wav(1, 16, b""), "it has 0 samples, less than one window of 50 ms"),
    "short": (wav(1, 16, pcm(16)[:700]), "it has 350 samples, less than one window of 50 ms"),
    "silence": (wav(1, 16, bytes(900)), "all of its 450 samples are 0: it holds no sound"),
    "constant": (wav(1, 16, b"\0\x40" * 450), "all of its 450 samples are 0.5: it holds no sound"),
    "not a number": (floats((7, np.nan)), "sample 7 of 450 is nan: no finite number"),
    "infinite": (floats((9, -np.inf)), "sample 9 of 450 is -inf: no finite number"),
    "beyond a float": (floats((9, 1e300)), "sample 9 of 450 is inf: no finite number"),
    "huge": (floats(scale=1e25), "e+24; floats hold -1..1: divide them by their peak"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_cannot_be_used_says_what_and_where(tmp_path: Path, case: str) -> None:
    content, reason = BAD[case]
    with pytest.raises(Bad) as bad:
        reader(tmp_path / "x.wav")(content)
    assert reason in str(bad.value)
    assert len(str(bad.value)) < 200


def test_a_length_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqbench.tasks.speech.wav.MOST_SAMPLES", 449)
    with pytest.raises(Bad, match="it has 450 samples, more than 449: cut it"):
        reader(tmp_path / "x.wav")(GOOD["16 bits"])
    monkeypatch.setattr("seqbench.tasks.speech.wav._MOST_BYTES", 900)
    with pytest.raises(Bad, match="it has 944 bytes, more than 900: cut it"):
        reader(tmp_path / "x.wav")(GOOD["16 bits"])


@pytest.mark.parametrize("scale", [1e-3, 32768.0, 2.0**30])
def test_floats_of_other_scales_are_sound(tmp_path: Path, scale: float) -> None:
    found = reader(tmp_path / "x.wav")(floats(scale=scale))
    np.testing.assert_allclose(found, SOUND * scale, rtol=1e-6)


def test_hostile_wav_files(tmp_path: Path, hostile: Check) -> None:
    read: Any = reader(tmp_path / "x.wav")
    hostile(list(GOOD.values()), read, wave_reads, equal)
