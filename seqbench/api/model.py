"""The contract of a model: an encoder of sequences that knows no task, loss or configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from seqbench.api.batch import SequenceInput

Context = Literal["past", "all"]


class Encoding(NamedTuple):
    """A model's representation of a batch of sequences.

    Under context ``past``: ``forward_steps[:, t]`` depends on inputs <= t only, and
    ``backward_steps[:, t]`` on inputs >= t only. Under ``all`` both may depend on everything
    except padding. Values at padded steps are zero.
    """

    forward_steps: Tensor
    """``[B, T, D]``."""
    backward_steps: Tensor | None
    """``[B, T, E]``, or None if the model only reads forwards."""
    final: Tensor
    """``[B, G]``: a summary of the whole sequence."""


class Model(nn.Module, ABC):
    """An encoder of sequences.

    The constructor is ``__init__(self, input_size, context, *, <the model's own parameters>)``. The
    parameters are keyword-only and typed, have defaults, and are the keys of
    ``conf/model/<name>.yaml``. The constructor raises ``ValueError`` for an impossible value.

    Args:
        input_size: F, features per step.
        context: ``"past"`` or ``"all"``, see :class:`Encoding`.
    """

    citation: ClassVar[str]
    consumes_missingness: ClassVar[bool] = False
    """Whether ``encode`` uses ``observed`` and ``delta`` itself. If not, the harness appends them
    to the values. Static features are appended to the values for every model; for a model that uses
    ``observed`` and ``delta``, they count as observed with a delta of 0."""

    forward_size: int
    """D of :class:`Encoding`."""
    backward_size: int
    """E of :class:`Encoding`; 0 if the model only reads forwards."""
    final_size: int
    """G of :class:`Encoding`."""

    def __init__(self, input_size: int, context: Context) -> None:
        super().__init__()
        if input_size < 1:
            raise ValueError(f"input_size must be at least 1, not {input_size}")
        if context not in ("past", "all"):
            raise ValueError(f"context must be 'past' or 'all', not '{context}'")
        self.input_size = input_size
        self.context: Context = context

    def state_numbers(self, steps: int) -> int | None:
        """Return the size of the state of one sequence after some steps, summed over layers.

        The state is everything that the model must keep to read further steps.

        Args:
            steps: number of steps read so far.

        Returns:
            The count of numbers, or None (the default) if the model does not say.
        """
        return None

    @abstractmethod
    def encode(self, inputs: SequenceInput) -> Encoding:
        """Encode a batch; see :class:`Encoding` for what its outputs may depend on."""

    def forward(self, inputs: SequenceInput) -> Encoding:
        """Call :meth:`encode`, through torch's hooks."""
        return self.encode(inputs)
