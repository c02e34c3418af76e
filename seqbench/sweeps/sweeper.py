"""What Hydra sees of sweeps: the sweeper and the launchers of this project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seqbench.errors import Refused
from seqbench.sweeps.clusters import RayLauncher, SlurmLauncher
from seqbench.sweeps.launchers import BasicLauncher, TrialLauncher
from seqbench.sweeps.local import LocalLauncher
from seqbench.sweeps.run import failures, results, run_sweep

LAUNCHERS: dict[str, type[TrialLauncher]] = {
    "basic": BasicLauncher,
    "local": LocalLauncher,
    "slurm": SlurmLauncher,
    "ray": RayLauncher,
}
"""By their names in ``conf/hydra/launcher``."""

PACKAGE = "hydra_plugins.seqbench"
"""Where ``conf/hydra`` says that they are: Hydra takes plugins of ``hydra_plugins`` alone, and what
really lies there is seen by every Hydra application."""


def register() -> None:
    """Let Hydra find the sweeper and the launchers, in this process."""
    found: dict[str, Any] = Plugins.instance().class_name_to_class
    plugins: list[type] = [SeqbenchSweeper, *LAUNCHERS.values()]
    for plugin in plugins:
        found[f"{PACKAGE}.{plugin.__name__}"] = plugin
    # Hydra's own basic launcher stands there, and a file of that name would be held against it.
    basic = {"_target_": f"{PACKAGE}.{BasicLauncher.__name__}"}
    ConfigStore.instance().store(group="hydra/launcher", name="basic", node=basic)


class SeqbenchSweeper(Sweeper):
    """Runs those trials of ``model=lstm,gru seed=0,1,2`` that have no result yet.

    What has finished is left out before the launcher starts, and before data or torch are loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self._launcher: Launcher | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Take what Hydra hands over.

        Raises:
            Refused: the launcher is not one of this project's, or refuses a parameter.
        """
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Run what is left of a sweep, and print what all of it has found.

        Raises:
            Refused: an override is wrong, or the tracking store cannot be used.
            TrialFailed: a trial failed.
        """
        from seqbench.reporting.sweep import print_sweep

        if not isinstance(self._launcher, TrialLauncher):
            known = ", ".join(LAUNCHERS)
            raise Refused(f"hydra/launcher must be one of {known}: others cannot be resumed")
        ran = run_sweep(list(arguments), self._launcher)
        print_sweep(results(ran))
        failures(ran)
        return ran
