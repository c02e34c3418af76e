"""Where the trials of a sweep run: what all launchers share, and the one for this process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from seqbench.config.settings import Rerun
from seqbench.errors import Refused
from seqbench.sweeps.job import Job, Outcome, Surroundings, attempt
from seqbench.sweeps.plan import Planned


class TrialLauncher(Launcher):
    """A launcher that is given trials, and not only their overrides.

    ``at_once`` says how many run at a time. Workers may stay for the next call of
    :meth:`outcomes`; as a context manager it lets them go at the end.
    """

    at_once: int = 1

    def setup(self, **_: Any) -> None:
        """Take what Hydra hands over: nothing of it is needed."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Hydra's way in; the sweeper of this project calls :meth:`outcomes` instead."""
        raise Refused("this launcher runs trials of seqbench's own sweeper only")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let workers go, if there are any."""

    @abstractmethod
    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Run trials, and yield each one's number and outcome as it ends, in any order.

        Args:
            trials: possible ones.
            rerun: whether they run although they have finished meanwhile.

        Raises:
            Refused: an engine that is needed is not installed or does not start.
            KeyboardInterrupt: the user stopped it; so are the workers.
        """


class BasicLauncher(TrialLauncher):
    """One trial after the other, in this process."""

    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Run trials in their order."""
        for number, trial in enumerate(trials):
            assert trial.settings is not None
            yield number, attempt(trial.settings, rerun)


def jobs(trials: Sequence[Planned], rerun: Rerun) -> list[Job]:
    """Return trials as workers take them."""
    around = Surroundings()
    found = []
    for trial in trials:
        assert trial.settings is not None
        trainer = replace(trial.settings.trainer, progress=False)  # bars of workers would mingle
        found.append(Job(replace(trial.settings, trainer=trainer), around, rerun))
    return found


def count(key: str, value: int | None, default: int) -> int:
    """Return a number of workers.

    Raises:
        Refused: it is none.
    """
    if value is None:
        return default
    if not isinstance(value, int) or value < 1:
        raise Refused(f"{key} must be a whole number of at least 1, not {value}")
    return value
