"""Link into an environment what its seqbench depends on: ``link_dependencies.py ENVIRONMENT``.

The links point into the environment that runs this, and there are none for what only ``dev`` or
another extra asks for: an import that pyproject.toml does not declare fails there.
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement


def closure(first: Distribution) -> dict[str, Distribution]:
    """Return what a distribution depends on, directly or not, by name; without itself."""
    found: dict[str, Distribution] = {}
    due = [(first, "")]
    while due:
        dependent, extra = due.pop()
        for line in dependent.requires or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            known = requirement.name in found
            found.setdefault(requirement.name, distribution(requirement.name))
            extras = ["", *requirement.extras] if not known else requirement.extras
            due.extend((found[requirement.name], name) for name in extras)
    return found


def main(environment: Path) -> None:
    """Link each file or folder at the top of a needed distribution."""
    (packages,) = environment.glob("lib/python*/site-packages")
    (seqbench,) = distributions(name="seqbench", path=[str(packages)])
    for needed in closure(seqbench).values():
        tops = {file.parts[0] for file in needed.files or [] if file.parts[0] != ".."}
        for top in tops:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(needed.locate_file(top))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
