"""MyModel: say here, in a line, what is new about it."""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.nn import Cell, Named, RecurrentModel


class MyModelCell(Cell):
    """An LSTM with a forget gate, until you change its equations.

    f, i, o = sigmoid(W x + U h + b), c~ = tanh(W x + U h + b)
    c' = f * c + i * c~
    h' = o * tanh(c')
    """

    gates = ("f", "i", "o", "g")  # blocks of weights: a.f is gate f's W x + U h + b
    states = ("h", "c")  # what is carried on, the output first: s.h, s.c
    bias_init = {"f": 1.0}  # forget little at first

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step. Elementwise operations compile; others run more slowly."""
        f, i, o = torch.sigmoid(a.f), torch.sigmoid(a.i), torch.sigmoid(a.o)
        c = f * s.c + i * torch.tanh(a.g)
        return {"h": o * torch.tanh(c), "c": c}


class MyModel(RecurrentModel):
    """A recurrent model of one cell, with layers, directions, masking and training."""

    citation = "Unpublished."
    cell = MyModelCell
