"""A trial as submitit runs it."""

from __future__ import annotations

import submitit

from seqbench.sweeps.job import Job, Outcome, work


class RequeuedWork(submitit.helpers.Checkpointable):  # type: ignore[misc]
    """Runs a trial; one that is preempted or out of time is submitted again, and goes on."""

    def __call__(self, job: Job) -> Outcome:
        """Run it."""
        return work(job)
