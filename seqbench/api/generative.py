"""The contract of a task whose sequences a trained model can continue."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqbench.api.task import Task, Visibility

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class GenerativeTask(Task):
    """A ``next`` task that can draw a step of a sequence from the prediction of it.

    Its examples have values alone: nothing is missing, and there are no static features.

    `seqbench sample` gives a trained model the first steps of a test sequence, draws the step after
    them from the model's prediction, appends it, and goes on: the sequence is a draw from the
    distribution that the model has learned (ancestral sampling).
    """

    visibility = Visibility.NEXT

    @abstractmethod
    def draw_step(
        self, prediction: Tensor, generator: torch.Generator, temperature: float
    ) -> Tensor:
        """Return a step's values ``[F]``, drawn from its prediction.

        Args:
            prediction: ``[K]``, as :meth:`loss` takes it.
            generator: the only source of chance.
            temperature: above 0; divides the logits. 1 is what the model says, less is nearer to
                its most probable step, more is nearer to chance.
        """

    @abstractmethod
    def write_sample(self, values: Tensor, given: int, stem: Path) -> list[Path]:
        """Write a continued sequence to files that other programs open.

        Args:
            values: ``[T, F]``, the given steps and those drawn.
            given: how many were given.
            stem: path of the files, to which each adds its suffix; its folder exists.

        Returns:
            The files.

        Raises:
            OSError: one cannot be written.
        """

    @abstractmethod
    def picture_sample(self, figure: Figure, values: Tensor, given: int) -> str:
        """Draw a continued sequence, the given part apart from the rest.

        Args:
            figure: empty.
            values: ``[T, F]``, the given steps and those drawn.
            given: how many were given.

        Returns:
            A sentence that says what is to be seen.
        """
