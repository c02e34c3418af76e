"""Of installed plugins: which distribution one is of, and what is that distribution's own code."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.metadata import EntryPoint
from urllib.parse import unquote, urlsplit

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from seqbench import __version__
from seqbench.registry.reach import Own


def origin_of(point: EntryPoint) -> str:
    """Return the distribution of an entry point and its version, as a person reads it."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def own_code(point: EntryPoint) -> Own:
    """Return which modules are a distribution's own code, installed from a folder or not."""
    names = {point.module.partition(".")[0]}
    folder = ""
    if point.dist is not None:
        files = [file for file in point.dist.files or () if file.suffix == ".py"]
        names.update(file.parts[0].removesuffix(".py") for file in files)
        names.update((point.dist.read_text("top_level.txt") or "").split())
        with suppress(ValueError, AttributeError):  # not as the specification has it
            about = json.loads(point.dist.read_text("direct_url.json") or "{}")
            if about.get("dir_info", {}).get("editable"):
                folder = unquote(urlsplit(about["url"]).path)
    return Own(tuple(sorted(names - {"seqbench"})), folder, point.module)


def outside_range(point: EntryPoint) -> str:
    """Return why a plugin is not made for this version of seqbench; empty if it is.

    The range is what its distribution's metadata says of the dependency on seqbench.
    """
    for text in (point.dist.requires if point.dist else None) or ():
        try:
            requirement = Requirement(text)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        except (InvalidRequirement, UndefinedEnvironmentName):
            continue
        if canonicalize_name(requirement.name) != "seqbench" or not applies:
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            return (
                f"it is made for seqbench{requirement.specifier}, and this is {__version__}: "
                "another version of one of them is needed"
            )
    return ""
