"""One more step at batch 1, as a deployed model takes it, beside torch's own cells.

``python benchmarks/step.py`` times :func:`seqbench.nn.stepper` of each cell in turns with
``nn.LSTMCell`` and ``nn.GRUCell``, one thread, without gradients. It prints medians over blocks, in
microseconds, and their ratios; it says whether all but those of ``fgr`` are at most 2.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from functools import partial

import torch
from llvmlite.binding import get_host_cpu_name
from torch import nn

from seqbench.nn import Cell, GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell, stepper
from seqbench.plugins.cifg import CIFGCell
from seqbench.plugins.fgr import FGRCell
from seqbench.plugins.gru import ResetBeforeGRUCell
from seqbench.training.latency import Run, interleaved

INPUT = 64
HIDDEN = (32, 64, 128, 256)
MOST = 2.0
"""The largest ratio to torch's cell that is asked of a cell with no more weights, so not of fgr:
its gates feed back too, which makes three times the recurrent weights of an LSTM."""
COPIES = 8
"""Of each cell, elsewhere in memory, see :class:`seqbench.training.latency.ReadyModel`."""

CELLS: dict[str, tuple[type[Cell], str]] = {
    "rnn": (RNNCell, "nn.LSTMCell"),
    "lstm": (LSTMCell, "nn.LSTMCell"),
    "peephole": (PeepholeLSTMCell, "nn.LSTMCell"),
    "cifg": (CIFGCell, "nn.LSTMCell"),
    "fgr": (FGRCell, "nn.LSTMCell"),
    "gru": (GRUCell, "nn.GRUCell"),
    "gru, reset before": (ResetBeforeGRUCell, "nn.GRUCell"),
}
"""By name, with what each is compared with: cells without a twin in torch with the LSTM."""


def ours(cell_class: type[Cell], hidden: int) -> Run:
    """Return what runs single steps of a cell on the engine."""
    cell = cell_class(INPUT, hidden)
    step, values, start = stepper(cell), torch.randn(1, INPUT), cell.initial_state(1)

    def run(times: int) -> None:
        state = start
        for _ in range(times):
            state = step(values, state)

    return run


def lstm(hidden: int) -> Run:
    """Return what runs single steps of ``nn.LSTMCell``."""
    cell, values, zeros = nn.LSTMCell(INPUT, hidden), torch.randn(1, INPUT), torch.zeros(1, hidden)

    def run(times: int) -> None:
        state = (zeros, zeros)
        for _ in range(times):
            state = cell(values, state)

    return run


def gru(hidden: int) -> Run:
    """Return what runs single steps of ``nn.GRUCell``."""
    cell, values, zeros = nn.GRUCell(INPUT, hidden), torch.randn(1, INPUT), torch.zeros(1, hidden)

    def run(times: int) -> None:
        state = zeros
        for _ in range(times):
            state = cell(values, state)

    return run


def main() -> None:
    """Print a row for each H, and what is asked."""
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(f"{get_host_cpu_name()}, {os.cpu_count()} cores, torch {torch.__version__}, 1 thread")
    print(f"Load average before: {load:.1f}. Medians; microseconds mean nothing elsewhere.\n")
    titles = "".join(f"{name:>19}" for name in CELLS)
    print(f"{'H':>4}{'nn.LSTMCell':>13}{'nn.GRUCell':>12}{titles}")
    worst = 0.0
    with torch.inference_mode():
        for hidden in HIDDEN:
            make: dict[str, Callable[[int], Run]] = {"nn.LSTMCell": lstm, "nn.GRUCell": gru}
            make |= {name: partial(ours, cell) for name, (cell, _) in CELLS.items()}
            runs = [[made(hidden) for _ in range(COPIES)] for made in make.values()]
            blocks = dict(zip(make, interleaved(runs, "cpu"), strict=True))
            texts = [f"{statistics.median(blocks[name]) * 1e6:.1f}" for name in list(make)[:2]]
            for name, (_, base) in CELLS.items():
                pairs = zip(blocks[name], blocks[base], strict=True)
                ratio = statistics.median(one / other for one, other in pairs)
                if name != "fgr":
                    worst = max(worst, ratio)
                texts.append(f"{statistics.median(blocks[name]) * 1e6:.1f} ({ratio:.2f})")
            print(
                f"{hidden:>4}{texts[0]:>13}{texts[1]:>12}" + "".join(f"{t:>19}" for t in texts[2:])
            )
    print(f"\nlargest ratio {worst:.2f}, asked {MOST:.1f}: {'pass' if worst <= MOST else 'FAIL'}")


if __name__ == "__main__":
    main()
