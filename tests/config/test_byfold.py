"""What single folds have of their own: checked as everything else, and part of the identity."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from seqbench.config.composition import compose_each, settings
from seqbench.config.settings import Settings
from seqbench.errors import Refused
from seqbench.identity import identity


def composed(*words: str) -> Settings:
    (config,) = compose_each([["task=health/pbc", *words]])
    return settings(config)


def test_a_fold_has_its_own_values_and_what_follows_from_them() -> None:
    """A model's dropout is the recipe's, in a fold too."""
    found = composed("by_fold={0:{recipe:{dropout:0.1}},3:{model:{hidden_size:64}}}")
    assert {
        0: {"recipe": {"dropout": 0.1}, "model": {"dropout": 0.1}},
        3: {"model": {"hidden_size": 64}},
    } == found.by_fold
    assert (0.1, 0.1) == (found.of_fold(0).recipe.dropout,
                          found.of_fold(0).model_parameters["dropout"])  # fmt: skip
    assert 64 == found.of_fold(3).model_parameters["hidden_size"]
    assert found.of_fold(1) == composed()


def test_what_is_as_it_is_everywhere_changes_nothing() -> None:
    """It is the same trial, and a trial without folds of its own is what it was."""
    rate = composed().recipe.lr
    same = composed(f"by_fold={{0:{{recipe:{{lr:{rate}}}}}}}")
    assert {} == same.by_fold
    assert identity(composed()).key == identity(same).key
    other = composed("by_fold={0:{recipe:{lr:0.5}}}")
    assert identity(composed()).key != identity(other).key


def test_a_stored_configuration_gives_the_same_settings() -> None:
    found = composed("by_fold={10:{recipe:{lr:0.5}},2:{model:{hidden_size:64}}}")
    assert [2, 10] == list(found.by_fold)
    again = settings(OmegaConf.create(found.to_dict()))
    assert (found, identity(found).key) == (again, identity(again).key)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", r"by_fold must be \{FOLD:\{recipe:\{KEY:VALUE\},model:\{KEY:VALUE\}\}\}, not 3"),
        ("{a:{recipe:{lr:1}}}", "by_fold must be"),
        ("{0:3}", "by_fold must be"),
        ("{0:{recipe:3}}", "by_fold must be"),
        ("{0:{task:{fold:1}}}", "by_fold of fold 0 may change recipe and model, not task"),
        ("{0:{recipe:{lrr:1}}}", r"by_fold of fold 0: .*did you mean 'recipe\.lr'\?"),
        ("{0:{recipe:{lr:-1}}}", r"by_fold of fold 0: recipe\.lr must be a positive number"),
        ("{0:{recipe:{patience:1}}}", r"by_fold of fold 0: recipe\.patience is the same in all"),
        ("{0:{model:{name:gru}}}", r"by_fold of fold 0: model\.name is the same in all folds"),
        ("{0:{model:{hiden_size:1}}}", r"did you mean 'model\.hidden_size'\?"),
    ],
)
def test_mistakes_are_refused(value: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        composed(f"by_fold={value}")
