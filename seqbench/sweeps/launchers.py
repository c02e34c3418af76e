"""Launchers decide where trials run: their base class, and the launcher for this process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from seqbench.config.settings import Rerun
from seqbench.errors import Refused
from seqbench.sweeps.job import Job, Outcome, Surroundings, attempt
from seqbench.sweeps.plan import Planned


class TrialLauncher(Launcher):
    """A launcher that receives planned trials instead of overrides only.

    ``at_once`` is the number of trials that run at the same time. Workers may stay for the next
    call of :meth:`outcomes`; use the launcher as a context manager to end them.
    """

    at_once: int = 1
    is_here: ClassVar[bool] = True
    """Whether trials run on this machine."""

    def setup(self, **_: Any) -> None:
        """Do nothing: nothing that Hydra passes is needed."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Hydra's entry point; the sweeper of this project calls :meth:`outcomes` instead."""
        raise Refused("this launcher runs trials of seqbench's own sweeper only")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, if there are any."""

    @abstractmethod
    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Run trials and yield the number and outcome of each when it ends, in any order.

        Args:
            trials: trials whose settings are possible.
            rerun: whether to run trials even if they have finished meanwhile.

        Raises:
            Refused: an engine that is needed is not installed or does not start.
            KeyboardInterrupt: the user stopped the sweep; the workers are stopped too.
        """


class BasicLauncher(TrialLauncher):
    """One trial after the other, in this process."""

    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Run trials in order."""
        for number, trial in enumerate(trials):
            assert trial.settings is not None
            yield number, attempt(trial.settings, rerun, trial.parts)


def jobs(trials: Sequence[Planned], rerun: Rerun) -> list[Job]:
    """Return the jobs of trials."""
    around = Surroundings()
    found = []
    for trial in trials:
        assert trial.settings is not None
        trainer = replace(trial.settings.trainer, progress=False)  # bars of workers would mingle
        found.append(Job(replace(trial.settings, trainer=trainer), around, rerun, trial.parts))
    return found


def count(key: str, value: int | None, default: int) -> int:
    """Return a validated number of workers.

    Raises:
        Refused: it is not a positive integer.
    """
    if value is None:
        return default
    if not isinstance(value, int) or value < 1:
        raise Refused(f"{key} must be a whole number of at least 1, not {value}")
    return value
