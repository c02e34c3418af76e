"""A trial as submitit runs it."""

from __future__ import annotations

import submitit

from seqbench.sweeps.job import Job, Outcome, work


class RequeuedWork(submitit.helpers.Checkpointable):  # type: ignore[misc]
    """Runs a trial; if it is preempted or out of time, it is submitted again and resumes."""

    def __call__(self, job: Job) -> Outcome:
        """Run it."""
        return work(job)
