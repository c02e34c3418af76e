"""Baselines' predictions, computed once and kept in the data cache."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from seqbench.api import Example, Predictions, Splits
from seqbench.errors import Refused
from seqbench.tasks._archive import Arrays, cache_folder, load_arrays, save_arrays

_FIELDS = ("values", "targets", "target_mask", "observed", "delta", "static")


def digest(*splits: Splits) -> str:
    """Return a hash of everything in some splits' examples, 16 hexadecimal digits."""
    found = hashlib.sha256()
    told: dict[int, bytes] = {}  # an example is in a split of every fold
    for split in splits:
        for name, examples in (
            ("train", split.train),
            ("valid", split.valid),
            ("test", split.test),
        ):
            found.update(f"{name}\0{len(examples)}\0".encode())
            for example in examples:
                if id(example) not in told:
                    told[id(example)] = _bytes_of(example)
                found.update(told[id(example)])
    return found.hexdigest()[:16]


def cached_predictions(
    name: str, splits: Splits, build: Callable[[], dict[str, list[Tensor]]]
) -> dict[str, Predictions]:
    """Return baselines' predictions of the test split from the data cache, built if need be.

    Where the cache folder cannot be written they are built each time.

    Args:
        name: of the task, with a number that changes whenever the same data would give others.
        splits: what they are fitted on and predict.
        build: returns them, by baseline; all of a baseline's predictions have one width.
    """
    path = cache_folder() / f"{name}-baselines-{digest(splits)}.npz"
    arrays = load_arrays(path)
    if arrays is None:
        built = build()
        with contextlib.suppress(Refused):
            save_arrays(path, _packed(built))
        return dict(built)
    return {baseline: _unpacked(baseline, arrays) for baseline in arrays["names"].tolist()}


def _bytes_of(example: Example) -> bytes:
    parts = [f"{example.group}\0".encode()]
    for field in _FIELDS:
        tensor = getattr(example, field)
        if tensor is None:
            parts.append(b"none\0")
            continue
        array = tensor.contiguous().numpy()
        parts.append(f"{field}\0{array.dtype.str}\0{array.shape}\0".encode())
        parts.append(array.tobytes())
    return b"".join(parts)


def _packed(predictions: dict[str, list[Tensor]]) -> Arrays:
    arrays: Arrays = {"names": np.array(list(predictions))}
    for number, parts in enumerate(predictions.values()):
        steps = [part if part.dim() == 2 else part[None] for part in parts]
        arrays[f"{number}/values"] = torch.cat(steps).numpy()
        arrays[f"{number}/lengths"] = np.array([len(part) for part in steps])
        arrays[f"{number}/per_step"] = np.array(parts[0].dim() == 2)
    return arrays


def _unpacked(baseline: str, arrays: Arrays) -> Sequence[Tensor]:
    number = arrays["names"].tolist().index(baseline)
    values = torch.from_numpy(arrays[f"{number}/values"])
    parts = torch.split(values, arrays[f"{number}/lengths"].tolist())
    return parts if arrays[f"{number}/per_step"] else [part[0] for part in parts]
