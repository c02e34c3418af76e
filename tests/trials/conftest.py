"""Each test here starts with a registry of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_registry(fresh_registry: None) -> None:
    """Nothing that a test registers is left to another."""
