"""A recurrent model from its cell: layers, directions, masking and dropout."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from seqbench.api.batch import SequenceInput
from seqbench.api.model import Context, Encoding, Model
from seqbench.nn.backends import BackendName
from seqbench.nn.cell import Cell
from seqbench.nn.masking import last_step, reverse_sequences
from seqbench.nn.unroll import check_backend, unroll


class RecurrentModel(Model):
    """Layers of one recurrent cell, in one direction or two.

    A subclass says which cell: it sets :attr:`cell`, or overrides :meth:`make_cell` where the cell
    depends on parameters of the model.

    Two directions are two separate stacks, so that forward states never see what comes later; or,
    where the task lets a prediction see every step, each layer reads both directions of the layer
    below (a deep BiLSTM as in Graves et al. 2013).

    Args:
        input_size: F, features per step.
        context: what a step may depend on, see :class:`~seqbench.api.model.Encoding`.
        hidden_size: H, units of one direction of one layer.
        num_layers: layers of each direction.
        dropout: probability of zeroing each output of each layer in training; recurrent connections
            are left alone (Zaremba et al. 2014). The command line takes ``recipe.dropout``
            unless this is given.
        bidirectional: whether to read backwards as well.
        directions: how two directions combine between layers. ``separate`` stacks; ``mixed``,
            possible under context ``all`` only; ``auto`` takes mixed where it is possible.
        backend: what runs the recurrence. ``auto``: code compiled from the cell's equations, where
            the device has a back end for that; ``reference``: the equations, step by step;
            ``native``: torch's own kernels, for lstm, gru and rnn only.
    """

    cell: ClassVar[type[Cell]]

    def __init__(
        self,
        input_size: int,
        context: Context,
        *,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        directions: Literal["auto", "separate", "mixed"] = "auto",
        backend: BackendName = "auto",
    ) -> None:
        super().__init__(input_size, context)
        if hidden_size < 1:
            raise ValueError(f"hidden_size must be at least 1, not {hidden_size}")
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {dropout}")
        if directions == "mixed" and context == "past":
            raise ValueError(
                "directions=mixed shows every state the whole sequence, which this task's "
                "visibility does not allow; use directions=separate"
            )
        self.hidden_size = hidden_size
        self.mixed = bidirectional and context == "all" and directions != "separate"
        self.forward_size = hidden_size
        self.backward_size = hidden_size if bidirectional else 0
        self.final_size = self.forward_size + self.backward_size
        above = 2 * hidden_size if self.mixed else hidden_size
        sizes = [input_size] + [above] * (num_layers - 1)
        self.forward_cells = nn.ModuleList(self.make_cell(size, hidden_size) for size in sizes)
        self.backward_cells = nn.ModuleList(
            self.make_cell(size, hidden_size) for size in (sizes if bidirectional else [])
        )
        self.dropout = nn.Dropout(dropout)
        self.backend: BackendName = backend
        check_backend(self._cell(self.forward_cells, 0), backend)

    def make_cell(self, input_size: int, hidden_size: int) -> Cell:
        """Return a fresh cell; called once for each layer and direction."""
        return self.cell(input_size, hidden_size)

    def state_numbers(self, steps: int) -> int | None:
        """Return the numbers of all cells' states, of both directions; they do not grow."""
        cells = (*self.forward_cells, *self.backward_cells)
        return sum(self.hidden_size * len(cell.states) for cell in cells if isinstance(cell, Cell))

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Encode a batch as the hidden states of the last layer."""
        forward, backward = self.hidden_states(inputs)
        return self.encoding(forward, backward, inputs.lengths)

    def hidden_states(self, inputs: SequenceInput) -> tuple[Tensor, Tensor | None]:
        """Return the last layer's states ``[B, T, H]`` of each direction, zero at padding."""
        lengths = inputs.lengths
        forward = backward = inputs.values
        for layer in range(len(self.forward_cells)):
            forward = self._run(self._cell(self.forward_cells, layer), forward, lengths)
            if self.backward_cells:
                cell = self._cell(self.backward_cells, layer)
                backward = reverse_sequences(backward, lengths)
                backward = reverse_sequences(self._run(cell, backward, lengths), lengths)
            if self.mixed and layer < len(self.forward_cells) - 1:
                forward = backward = torch.cat([forward, backward], dim=-1)
        return forward, backward if self.backward_cells else None

    @staticmethod
    def encoding(forward: Tensor, backward: Tensor | None, lengths: Tensor) -> Encoding:
        """Return an encoding whose ``final`` joins the two directions' last states."""
        final = last_step(forward, lengths)
        if backward is not None:
            final = torch.cat([final, backward[:, 0]], dim=-1)
        return Encoding(forward, backward, final)

    def _run(self, cell: Cell, values: Tensor, lengths: Tensor) -> Tensor:
        hidden = unroll(cell, values, lengths, backend=self.backend).hidden
        # Dropout draws in the order of memory, which must not depend on the back end.
        dropped: Tensor = self.dropout(hidden.contiguous())
        return dropped

    @staticmethod
    def _cell(cells: nn.ModuleList, layer: int) -> Cell:
        cell = cells[layer]
        assert isinstance(cell, Cell)
        return cell
