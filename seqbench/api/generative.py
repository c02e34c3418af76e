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
    """A ``next`` task that can sample a step of a sequence from its prediction.

    Its examples have values only: no missing values and no static features.

    `seqbench sample` gives a trained model the first steps of a test sequence. It samples the next
    step from the model's prediction, appends it, and repeats. The continued sequence is a sample
    from the distribution that the model has learned (ancestral sampling).
    """

    visibility = Visibility.NEXT

    @abstractmethod
    def draw_step(
        self, prediction: Tensor, generator: torch.Generator, temperature: float
    ) -> Tensor:
        """Return a step's values ``[F]``, sampled from its prediction.

        Args:
            prediction: ``[K]``, as :meth:`loss` takes it.
            generator: the only source of randomness.
            temperature: above 0; divides the logits. 1 samples the model's own distribution, less
                favours its most probable step, more makes samples more random.
        """

    @abstractmethod
    def write_sample(self, values: Tensor, given: int, stem: Path) -> list[Path]:
        """Write a continued sequence to files for other programs.

        Args:
            values: ``[T, F]``, the given steps, then the sampled ones.
            given: number of given steps.
            stem: path of the files without suffix; its folder exists.

        Returns:
            The files.

        Raises:
            OSError: a file cannot be written.
        """

    @abstractmethod
    def picture_sample(self, figure: Figure, values: Tensor, given: int) -> str:
        """Draw a continued sequence, and distinguish the given part from the rest.

        Args:
            figure: empty.
            values: ``[T, F]``, the given steps, then the sampled ones.
            given: number of given steps.

        Returns:
            A sentence that describes the picture.
        """
