"""Hydra's sweeper of this project: every combination, but no finished trial twice."""

from __future__ import annotations

import sys
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seqbench.sweeps.plan import plan, summary

TARGET = "hydra_plugins.seqbench.SeqbenchSweeper"
"""What ``conf/hydra/sweeper`` calls it: Hydra takes plugins of that package alone, which would be
seen by every Hydra application here."""


def register() -> None:
    """Let Hydra find the sweeper, in this process."""
    Plugins.instance().class_name_to_class[TARGET] = SeqbenchSweeper


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
        """Take what Hydra hands over."""
        self.hydra_context, self.config = hydra_context, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run what is left of a sweep.

        Raises:
            Refused: an override is wrong, or the tracking store cannot be used.
        """
        assert self._launcher is not None  # Hydra calls setup first
        found = plan(arguments)
        left = [item.overrides for item in found.trials if item.runs(found.rerun)]
        if any(item.state != "new" for item in found.trials):
            sys.stderr.write(
                f"seqbench: {summary(found.trials)}; {len(left)} to run (rerun={found.rerun})\n"
            )
        if not left:
            return []
        results = self._launcher.launch(left, initial_job_idx=0)
        for result in results:
            _ = result.return_value  # raises what the job raised
        return results
