"""What Hydra sees of sweeps: the sweeper and the launchers of this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from seqbench.config import composition, searchpath, values
from seqbench.config.searchpath import CONFIG_NAME
from seqbench.errors import Refused, did_you_mean, unknown
from seqbench.sweeps.clusters import RayLauncher, SlurmLauncher
from seqbench.sweeps.costs import time_models
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
    check_launcher(words)
    searchpath.enable()
    try:
        with composition.hydra():
            node = compose(CONFIG_NAME, list(words), return_hydra_config=True)
            return _made(node)
    except Exception as error:
        raise composition.explain(error, words) from error


def check_launcher(words: Sequence[str]) -> None:
    """Check a command's words of Hydra's launcher, where Hydra's own answers are long.

    Raises:
        Refused: the launcher is unknown, or has no such parameter.
    """
    name = "basic"
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key == "hydra/launcher":
            name = value
            if name not in LAUNCHERS:
                raise unknown(key, name, LAUNCHERS)
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        if key.startswith("hydra.launcher."):
            _check_parameter(name, key.split(".")[2])


def _check_parameter(launcher: str, parameter: str) -> None:
    known = list(signature(LAUNCHERS[launcher]).parameters)
    if parameter not in known:
        raise Refused(
            f"hydra/launcher={launcher} has no parameter '{parameter}'"
            f"{did_you_mean(parameter, known)}; known: {', '.join(known) or 'none'}"
        )


def _made(composed: DictConfig) -> TrialLauncher:
    """Return the launcher that a composed configuration says.

    Raises:
        Refused: it is not one of this project's, or a parameter is unknown or of the wrong type.
    """
    chosen = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    assert isinstance(chosen, dict)
    target = chosen.pop("_target_", None)
    for name, launcher in LAUNCHERS.items():
        if target == f"{PACKAGE}.{launcher.__name__}":
            return launcher(**_checked(name, {str(key): chosen[key] for key in chosen}))
    known = ", ".join(LAUNCHERS)
    raise Refused(f"hydra/launcher must be one of {known}: with others a sweep cannot be resumed")


def _checked(launcher: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of a launcher as the types of its constructor."""
    checked = {}
    for key, value in given.items():
        _check_parameter(launcher, key)
        annotation = str(signature(LAUNCHERS[launcher]).parameters[key].annotation)
        try:
            checked[key] = values.fit(annotation, value)
        except ValueError as error:
            raise Refused(f"hydra.launcher.{key} {error}") from error
    return checked


class SeqbenchSweeper(Sweeper):
    """Runs those trials of ``model=lstm,gru seed=0,1,2`` that have no result yet.

    What has finished is left out before the launcher starts, and before data or torch are loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self._launcher: TrialLauncher | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Take what Hydra hands over; only the configuration is needed.

        Raises:
            Refused: the launcher is not one of this project's, or refuses a parameter.
        """
        self._launcher = _made(config)

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Run what is left of a sweep, and print what all of it has found.

        Raises:
            Refused: an override is wrong, or the tracking store cannot be used.
            TrialFailed: a trial failed.
        """
        from seqbench.reporting.sweep import print_sweep

        assert self._launcher is not None
        with self._launcher as launcher:
            ran = run_sweep(list(arguments), launcher)
        print_sweep(results(ran))
        time_models(ran, self._launcher)
        failures(ran)
        return ran
