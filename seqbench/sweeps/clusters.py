"""Sweeps on clusters: Slurm through submitit, and Ray. Both are optional."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from seqbench.config.settings import Rerun
from seqbench.errors import Refused
from seqbench.sweeps.job import Outcome, work
from seqbench.sweeps.launchers import TrialLauncher, count, jobs
from seqbench.sweeps.plan import Planned
from seqbench.tracking.address import locate
from seqbench.tracking.mlflow_client import first_line

_OBJECT_STORE = 100 * 2**20
"""Bytes of Ray's own store on this machine; trials hand over a few kB."""


class SlurmLauncher(TrialLauncher):
    """An array of Slurm jobs, through submitit; a preempted trial resumes.

    Args:
        cluster: ``slurm``; ``local`` runs the same jobs as processes of this machine.
        folder: for submitit's files, on a file system that all nodes see; None for one beside the
            tracking store.
        at_once: number of jobs that run at the same time.
        parameters: submitit's own, for example ``timeout_min``, ``slurm_partition``, ``mem_gb``.
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"] = "slurm",
        folder: str | None = None,
        at_once: int = 256,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._cluster = cluster
        self._folder = folder
        self.at_once = count("hydra.launcher.at_once", at_once, 256)
        self._parameters = dict(parameters or {})

    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Submit trials and wait for them."""
        try:
            import submitit
        except ImportError as error:
            raise _missing("slurm", "submitit") from error
        from seqbench.sweeps.requeued import RequeuedWork

        parameters = dict(self._parameters)
        if self._cluster == "slurm":
            parameters.setdefault("slurm_array_parallelism", self.at_once)
        try:
            folder = self._folder or _folder_beside_store(trials)
            executor = submitit.AutoExecutor(folder=folder, cluster=self._cluster)
            executor.update_parameters(**parameters)
        except Exception as error:  # submitit raises its own, RuntimeError and TypeError
            raise Refused(f"hydra/launcher=slurm: {first_line(error)}") from error
        waiting = list(enumerate(jobs(trials, rerun)))
        # Slurm itself holds jobs back; as local processes they would all start at once.
        most = len(waiting) if self._cluster == "slurm" else self.at_once
        running: dict[int, Any] = {}
        try:
            while waiting or running:
                batch, waiting = waiting[: most - len(running)], waiting[most - len(running) :]
                if batch:
                    submitted = executor.map_array(RequeuedWork(), [job for _, job in batch])
                    running.update(zip([number for number, _ in batch], submitted, strict=True))
                for number in [number for number, job in running.items() if job.done()]:
                    job = running.pop(number)
                    try:
                        yield number, job.result()
                    except Exception as error:
                        reason = f"job {job.job_id}: {first_line(error)}"
                        yield number, Outcome("KILLED", reason, died=True)
                time.sleep(0.2)
        finally:
            for job in running.values():
                job.cancel(check=False)


class RayLauncher(TrialLauncher):
    """Tasks of a Ray cluster.

    Args:
        address: address of the cluster; None starts Ray on this machine.
        cpus: CPUs per trial.
        gpus: GPUs per trial; may be a fraction.
        options: further arguments of ``ray.init``.
    """

    def __init__(
        self,
        address: str | None = None,
        cpus: float = 1,
        gpus: float = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if cpus <= 0:
            raise Refused(f"hydra.launcher.cpus must be more than 0, not {cpus:g}")
        if gpus < 0:
            raise Refused(f"hydra.launcher.gpus must be at least 0, not {gpus:g}")
        self._address = address
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._options = dict(options or {})

    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Run trials as tasks."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
        try:
            import ray
        except ImportError as error:
            raise _missing("ray", "ray") from error
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is None:
            options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
        else:
            options |= {"address": self._address}
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**{**options, **self._options})
        except Exception as error:
            raise Refused(f"hydra/launcher=ray: {first_line(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process on the spot
        try:
            cpus = ray.cluster_resources().get("CPU", 1)
            self.at_once = max(1, int(cpus / self._resources["num_cpus"]))
            task = ray.remote(max_retries=0, **self._resources)(work)
            waiting = {task.remote(job): number for number, job in enumerate(jobs(trials, rerun))}
            while waiting:
                for reference in ray.wait(list(waiting), timeout=1.0)[0]:
                    number = waiting.pop(reference)
                    try:
                        yield number, ray.get(reference)
                    except ray.exceptions.OutOfMemoryError as error:
                        yield number, Outcome("OOM", f"ray: {first_line(error)}", died=True)
                    except ray.exceptions.RayError as error:
                        yield number, Outcome("KILLED", f"ray: {first_line(error)}", died=True)
        finally:
            ray.shutdown()


def _folder_beside_store(trials: Sequence[Planned]) -> Path:
    settings = trials[0].settings
    assert settings is not None
    return locate(settings.tracking.uri).state / "slurm"


def _missing(extra: str, package: str) -> Refused:
    return Refused(f"hydra/launcher={extra} needs {package}: pip install 'seqbench[{extra}]'")
