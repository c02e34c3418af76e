"""Where modules and packages are, found as import would find them, but nothing is executed."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path


def find_spec(module: str) -> ModuleSpec | None:
    """Locate a module as import would, without executing its parents."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        if depth > 1 and path is None:
            return None
        spec = _find_spec(".".join(parts[:depth]), path)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        # Iterating over a nested namespace package's locations needs its parent imported.
        path = None if locations is None else list(getattr(locations, "_path", locations))
    return spec


def package_folders(package: str) -> list[Path]:
    """Return where a package's files are, without importing it; nowhere if there is none."""
    spec = find_spec(package)
    locations = [] if spec is None else spec.submodule_search_locations or []
    return [Path(folder) for folder in getattr(locations, "_path", locations)]


def _find_spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None
