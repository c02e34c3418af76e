"""What Hydra sees of sweeps: the sweeper and the launchers of this project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from seqbench import config, searchpath
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


def make_launcher(words: Sequence[str]) -> TrialLauncher:
    """Return the launcher that a command's words choose.

    Args:
        words: ``hydra/launcher=NAME`` and ``hydra.launcher.PARAMETER=VALUE``; none is ``basic``.

    Raises:
        Refused: it is unknown, or refuses a parameter.
    """
    register()
    searchpath.enable()
    try:
        with config.hydra():
            node = compose(config.CONFIG_NAME, list(words), return_hydra_config=True)
            chosen = OmegaConf.to_container(node.hydra.launcher, resolve=True)
    except Exception as error:
        raise config.explain(error, words) from error
    assert isinstance(chosen, dict)
    target = str(chosen.pop("_target_"))
    for launcher in LAUNCHERS.values():
        if target == f"{PACKAGE}.{launcher.__name__}":
            return launcher(**{str(key): value for key, value in chosen.items()})
    raise _not_ours()


def _not_ours() -> Refused:
    known = ", ".join(LAUNCHERS)
    return Refused(f"hydra/launcher must be one of {known}: with others a sweep cannot be resumed")


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
            raise _not_ours()
        ran = run_sweep(list(arguments), self._launcher)
        print_sweep(results(ran))
        failures(ran)
        return ran
