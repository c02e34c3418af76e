"""What a back end is: what it says of itself, and what it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Set
from typing import ClassVar

from torch import Tensor

from seqbench.nn.cell import Cell, State

Step = Callable[[Tensor, State], State]
"""From a step's values ``[B, F]`` and the states before it to those after it."""

RAN: Counter[str] = Counter()
"""How often each back end ran in this process, by what :meth:`Backend.__call__` counts."""


class Backend(ABC):
    """Runs a cell over time.

    A new back end is one file beside this one, which ends in ``BACKEND = ItsClass()``, and its name
    in the table of :mod:`seqbench.nn.backends`. Values, states and gradients are those of
    ``reference``, to rounding in float64.
    """

    name: ClassVar[str]
    """Its file, and what ``backend=`` selects it by."""
    does: ClassVar[str]
    """What it does, in one phrase for the table of the documentation."""
    runs: ClassVar[str]
    """Which cells it runs, in one phrase for the same table."""
    devices: ClassVar[tuple[str, ...]] = ()
    """Types of torch's devices that it runs on; empty: all."""
    default_on: ClassVar[tuple[str, ...]] = ()
    """Types of devices on which ``backend=auto`` is this one; each has one at most."""
    only: ClassVar[tuple[type[Cell], ...]] = ()
    """The cells that it runs, any other is refused; empty: ``reference`` runs what it cannot."""
    portable: ClassVar[bool] = False
    """Whether its code also runs on a CPU, where it is not offered: its tests run there too."""
    advice: ClassVar[str] = ""
    """What to do where it is a device's default and cannot run there."""

    @abstractmethod
    def check(self, cell: Cell, values: Tensor) -> str | None:
        """Return why it cannot run a cell, or None; :attr:`devices` and :attr:`only` are known.

        Args:
            cell: what is to be run.
            values: ``[B, T, F]``, on a device that it runs on.
        """

    @abstractmethod
    def run(
        self, cell: Cell, values: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State | None]:
        """Run a cell that :meth:`check` has no objection to.

        Args:
            cell: what is to be run.
            values: ``[B, T, F]`` in the weights' dtype; anything may stand at padding.
            lengths: ``[B]`` integers, from 1 to T; None: all T.
            state: each ``[B, H]``, before the first step.

        Returns:
            The hidden states ``[B, T, H]``, zero at padding, and the states after each sequence's
            last real step, None where they are not known.
        """

    @abstractmethod
    def version(self) -> str:
        """Return which version runs here, or what it compiles for, in a few words."""

    def storage(self) -> str:
        """Return where it keeps what it has compiled, or why it cannot; empty: it keeps nothing."""
        return ""

    def stepper(self, cell: Cell) -> Step | None:
        """Return what advances a cell that it can run by single steps; None: it has nothing.

        Args:
            cell: as it is now; what is written to it later need not be seen.
        """
        return None  # a loop over time alone

    def release(self) -> None:
        """Let go of memory that it keeps for the next run."""
        return None  # most keep none

    def seen_in(self, operations: Set[str], functions: Set[str]) -> set[str]:
        """Return which vendor's kernels of its kind are among what torch has executed.

        They count whoever called them: a model may use torch's own layers.

        Args:
            operations: names of operations below autograd, such as ``aten.mm.default``.
            functions: names of torch's functions as Python calls them.
        """
        return set()

    def reason(self, cell: Cell, values: Tensor) -> str | None:
        """Return why it cannot run a cell on these values, or None."""
        device = values.device.type
        if self.devices and device not in self.devices:
            return f"the data is on {device}"
        return self.check(cell, values)

    def __call__(
        self,
        cell: Cell,
        values: Tensor,
        lengths: Tensor | None,
        state: State,
        instead_of: str | None = None,
    ) -> tuple[Tensor, State | None]:
        """Count and :meth:`run`; ``instead_of`` says what could not run the cell, and why."""
        RAN[self.name if instead_of is None else f"{self.name} ({instead_of})"] += 1
        return self.run(cell, values, lengths, state)
