"""A recipe's optimiser and learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch

from seqbench.api import Metric
from seqbench.config.settings import Recipe
from seqbench.training.predictor import Predictor


def optimisation(
    predictor: Predictor, monitor: Metric, recipe: Recipe, steps: int
) -> dict[str, Any]:
    """Return the optimiser and the schedule as Lightning's ``configure_optimizers`` does.

    Args:
        predictor: what is optimised.
        monitor: the metric that a plateau is one of.
        recipe: how.
        steps: in an epoch.
    """
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(
            predictor.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
        )
    else:
        optimizer = torch.optim.SGD(
            predictor.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
    scheduler: dict[str, Any]
    if recipe.schedule == "constant":
        return {"optimizer": optimizer}
    if recipe.schedule == "cosine":
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=steps * recipe.max_epochs
        )
        scheduler = {"scheduler": cosine, "interval": "step"}
    else:
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode=monitor.direction, factor=0.5, patience=recipe.patience // 3
        )
        scheduler = {"scheduler": plateau, "monitor": f"valid/{monitor.name}"}
    return {"optimizer": optimizer, "lr_scheduler": scheduler}
