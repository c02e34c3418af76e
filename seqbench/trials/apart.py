"""A process that predicts, and holds nothing but inputs.

It reads an order from a folder, and leaves the predictions there. It makes no task and reads no
data; the folder is its working directory, and has its data folder, which is empty.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqbench.api import InputSpec, OutputSpec, SequenceInput, Visibility
from seqbench.config.settings import TrainerSettings
from seqbench.errors import TrialFailed
from seqbench.registry.plugins import registry
from seqbench.training.fit import set_up_device
from seqbench.training.predictor import Predictor
from seqbench.training.scoring import predict


@dataclass(frozen=True)
class FoldOrder:
    """What predicting a fold takes.

    Args:
        parameters: the model's own.
        input_spec: of the task.
        output_spec: of the task.
        weights: of the predictor.
        batches: of inputs, without their targets.
    """

    parameters: Mapping[str, Any]
    input_spec: InputSpec
    output_spec: OutputSpec
    weights: Mapping[str, Tensor]
    batches: Sequence[SequenceInput]


@dataclass(frozen=True)
class Order:
    """What predicting all folds takes; nothing of it is or knows a target of a test sequence.

    Args:
        model: registered name.
        visibility: of the task.
        trainer: where to compute.
        folds: in order.
    """

    model: str
    visibility: Visibility
    trainer: TrainerSettings
    folds: Sequence[FoldOrder]


def predict_apart(order: Order) -> list[list[Tensor]]:
    """Return the predictions of each fold's batches, made by a process that holds inputs only.

    Raises:
        TrialFailed: it failed; its last line says why.
    """
    threads = torch.get_num_threads()
    order = replace(order, trainer=replace(order.trainer, threads=threads))
    with tempfile.TemporaryDirectory(prefix="seqbench-apart-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        (folder / _ORDER).write_bytes(pickle.dumps(order))
        # The same modules are to be found as here.
        code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as this; this.main()"
        ended = subprocess.run(
            [sys.executable, "-c", code, name],
            cwd=folder,
            env={**os.environ, "SEQBENCH_DATA": str(folder / "data")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if ended.returncode:
            said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
            raise TrialFailed(f"the process that holds inputs only failed: {said[-1][:_SHOWN]}")
        found: list[list[Tensor]] = torch.load(folder / _FOUND, weights_only=True)
    return found


def main() -> None:
    """Carry out the order in the folder."""
    folder = Path(sys.argv[1])
    order: Order = pickle.loads((folder / _ORDER).read_bytes())
    device = set_up_device(order.trainer)
    model_class = registry().get("model", order.model).load()
    found = []
    for fold in order.folds:
        specs = fold.input_spec, fold.output_spec
        predictor = Predictor(model_class, dict(fold.parameters), *specs, order.visibility)
        predictor.load_state_dict(dict(fold.weights))
        predictor.to(device)
        found.append([predict(predictor, batch).float().cpu() for batch in fold.batches])
    torch.save(found, folder / _FOUND)


_ORDER, _FOUND = "order.pickle", "found.pt"
_SHOWN = 200  # characters of a message
