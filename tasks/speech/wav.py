"""A user's wav file: its header is checked against its bytes before they are sound.

soundfile reads what is left of a file that was cut off, and whatever follows a damaged header.
Format: Microsoft and IBM, Multimedia Programming Interface 1.0 (RIFF, WAVE).
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad
from seqbench.tasks.speech.mfcc import WINDOW_SECONDS

MOST_SAMPLES = 30_000_000
"""Ten minutes at 48 kHz, an hour at 8 kHz."""
MOST_RATE = 768_000
"""Samples a second."""
LOUDEST = 2.0**31
"""Of floats, which hold -1..1; some hold whole numbers of 16 or 32 bits."""

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_BITS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64), _ALAW: (8,), _MULAW: (8,)}
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")  # what follows a format's number
_MOST_BYTES = MOST_SAMPLES * 8 + 2**24
_COPY = "copy or convert it anew"


class _Header(NamedTuple):
    rate: int
    samples: int


def read_wav(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Return a mono wav file's samples ``[N]`` in -1..1, at the sample rate.

    Args:
        path: of the file: whole numbers of 8 to 32 bits, floats, A-law or mu-law.
        sample_rate: Hz; a file of a higher rate is resampled.

    Raises:
        Bad: it is damaged, too long, silent, of several channels or of too low a rate.
        OSError: it cannot be read.
    """
    import soundfile

    if path.stat().st_size > _MOST_BYTES:
        raise Bad(f"it has {path.stat().st_size:,} bytes, more than {_MOST_BYTES:,}: cut it")
    content = path.read_bytes()
    rate, count = _header(content)
    if rate < sample_rate:
        advice = f"set task.sample_rate={rate}" if rate >= 8000 else "record it anew"
        raise Bad(
            f"it has {rate} samples a second, fewer than task.sample_rate={sample_rate}; {advice}"
        )
    if rate > MOST_RATE:
        raise Bad(f"byte 24: it declares {rate:,} samples a second, more than {MOST_RATE:,}")
    if count < WINDOW_SECONDS * rate:
        raise Bad(
            f"it has {count:,} samples, less than one window of {1000 * WINDOW_SECONDS:.0f} ms"
        )
    if count > MOST_SAMPLES:
        raise Bad(f"it has {count:,} samples, more than {MOST_SAMPLES:,}: cut it")
    try:
        samples = soundfile.read(io.BytesIO(content), dtype="float32")[0]
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "error_string", error)).split())
        raise Bad(f"it cannot be read: {reason[:150]}") from error
    if samples.shape != (count,):
        raise Bad(f"it declares {count:,} samples and gives {len(samples):,}; {_COPY}")
    wrong = np.flatnonzero(~np.isfinite(samples))
    if len(wrong):
        raise Bad(f"sample {wrong[0]:,} of {count:,} is {samples[wrong[0]]}: no finite number")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise Bad(f"its samples reach {peak:.3g}; floats hold -1..1: divide them by their peak")
    if (samples == samples[0]).all():
        raise Bad(f"all of its {count:,} samples are {samples[0]:g}: it holds no sound")
    if rate == sample_rate:
        return np.asarray(samples)
    import librosa

    return np.asarray(librosa.resample(samples, orig_sr=rate, target_sr=sample_rate))


def _header(content: bytes) -> _Header:
    """Return what a file declares, once its bytes agree with it."""
    if not content:
        raise Bad("it is empty")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise Bad(
            f"byte 0: it begins with {content[:4]!r} and {content[8:12]!r}, not with RIFF and WAVE:"
            " it is no wav file; convert it"
        )
    (size,) = struct.unpack_from("<I", content, 4)
    found: dict[bytes, tuple[int, bytes]] = {}
    at = 12
    while at < len(content) and b"data" not in found:
        name, declared = content[at : at + 4], content[at + 4 : at + 8]
        if len(declared) < 4:
            break
        length = int.from_bytes(declared, "little")
        held = content[at + 8 : at + 8 + length]
        if len(held) < length:
            if name == b"data" and b"fmt " in found:
                width = _format(*found[b"fmt "])[1]
                raise Bad(
                    f"byte {at}: it declares {length // width:,} samples and holds"
                    f" {len(held) // width:,}; {_COPY}"
                )
            raise Bad(
                f"byte {at}: a part {name!r} declares {length:,} bytes and {len(held):,} are left;"
                f" {_COPY}"
            )
        if name in found:
            raise Bad(f"byte {at}: it has two parts {name!r}; {_COPY}")
        found[name] = at, held
        at += 8 + length + length % 2
    for name in (b"fmt ", b"data"):
        if name not in found:
            raise Bad(f"byte {min(at, len(content))}: it ends without a part {name!r}; {_COPY}")
    rate, width = _format(*found[b"fmt "])
    start, data = found[b"data"]
    if size + 8 < start + 8 + len(data):
        raise Bad(f"byte 4: it declares {size:,} bytes in all, less than its sound has; {_COPY}")
    if len(data) % width:
        raise Bad(
            f"byte {start}: its sound has {len(data):,} bytes, which samples of {width} do not"
            f" divide; {_COPY}"
        )
    return _Header(rate, len(data) // width)


def _format(at: int, fields: bytes) -> tuple[int, int]:
    """Return the samples a second and the bytes of a sample that a format declares."""
    if len(fields) < 16:
        raise Bad(f"byte {at}: its format has {len(fields)} bytes, not 16 or more; {_COPY}")
    kind, channels, rate, of_second, width, bits = struct.unpack_from("<HHIIHH", fields)
    if kind == _EXTENSIBLE:
        if len(fields) < 40 or fields[26:40] != _SUBFORMAT:
            raise Bad(f"byte {at}: its format is none of PCM, float, A-law and mu-law; convert it")
        (kind,) = struct.unpack_from("<H", fields, 24)
    if kind not in _BITS:
        raise Bad(f"byte {at}: its sound is compressed (format {kind}); convert it to PCM")
    if channels != 1:
        raise Bad(f"it has {channels} channels; make it mono")
    if bits not in _BITS[kind] or width != bits // 8:
        allowed = ", ".join(map(str, _BITS[kind]))
        raise Bad(
            f"byte {at}: it declares {bits} bits in {width} bytes of a sample; a sample has"
            f" {allowed} bits"
        )
    if of_second != rate * width:
        raise Bad(
            f"byte {at}: it declares {rate:,} samples and {of_second:,} bytes a second; {_COPY}"
        )
    return rate, width
