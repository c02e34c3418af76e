"""The rules of docs/architecture.md that a machine can check: imports, layout and names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from seqbench.config.composition import compose
from seqbench.registry.builtin import class_named_like
from seqbench.registry.plugins import registry
from seqbench.registry.registration import BUILT_IN, Kind

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "seqbench.conf": ROOT / "conf",
    "seqbench.plugins": ROOT / "plugins",
    "seqbench.tasks": ROOT / "tasks",
}

EVERYWHERE = {"errors", ""}  # "" is seqbench itself: its version
MAY_IMPORT = {
    "__init__": {"interface", "registry"},
    "__main__": {"cli"},
    "errors": set(),
    "records": set(),
    "registry": {"registry", "api"},  # api for the types of hooks' arguments
    "config": {"config", "registry", "records"},
    "identity": {"config", "registry", "records"},
    "api": {"api", "records"},
    "nn": {"nn", "api"},
    "verdicts": {"verdicts", "errors"},
    "training": {"training", "api", "nn", "config"},  # what plugins add is handed in
    "tracking": {"tracking", "records", "config"},
    "reporting": {"reporting", "api", "config", "identity", "records", "registry", "tracking"}
    | {"verdicts"},
    "testing": {"testing", "api", "nn", "training", "registry", "config"},
    "templates": {"api", "nn"},
    "trials": {"trials", "api", "config", "identity", "records", "registry", "reporting"}
    | {"testing", "tracking", "training", "verdicts"},
    "sweeps": {"sweeps", "config", "identity", "records", "registry", "reporting", "tracking"}
    | {"trials"},
    "tuning": {"tuning", "config", "identity", "registry", "reporting", "sweeps", "tracking"},
    "interface": {"config", "records", "reporting", "sweeps", "tracking", "trials"},
    "plugins": {"api", "nn", "registry"},
    "tasks": {"api", "nn", "records", "registry", "config"},
}
_ALL = {name for name in MAY_IMPORT if name not in ("plugins", "tasks", "__main__")}
MAY_IMPORT["cli"] = MAY_IMPORT["commands"] = _ALL | {"commands"}

ONLY_IN = {
    "pluggy": {"registry"},
    "hydra": {"config", "cli", "sweeps", "tuning"},
    "omegaconf": {"config", "cli", "commands", "sweeps", "trials", "tuning"},
    "lightning": {"training"},
    "mlflow": {"tracking"},
    "matplotlib": {"reporting", "api", "tasks"},
    "sklearn": {"tasks"},
    "torch": {
        "api",
        "nn",
        "training",
        "tracking",
        "testing",
        "templates",
        "commands",
        "trials",
        "plugins",
        "tasks",
    },
}
BUILDS_ON = {"seqbench.tasks.data": {"anomaly", "speech"}}
"""Tasks that predict the same from other data, with the metrics and detectors of other tasks."""
STANDARD_LIBRARY_ONLY = {"errors", "records"}
LIGHT = {"cli", "commands", "config", "registry", "errors", "records", "identity"}
HEAVY = {"torch", "lightning", "mlflow", "matplotlib", "sklearn", "scipy", "numpy", "rich"}


@dataclass(frozen=True)
class Import:
    """An import statement: who imports what, and whether importing the file executes it."""

    importer: str
    imported: str
    at_import: bool
    line: int

    @property
    def component(self) -> str:
        """The part of seqbench that imports: ``training``, ``cli``, ..."""
        return [*self.importer.split("."), "__init__"][1]

    @property
    def top(self) -> str:
        """The distribution's package that is imported."""
        return self.imported.partition(".")[0]


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for name, folder in {"seqbench": ROOT / "seqbench", **FOLDERS}.items():
        for path in folder.rglob("*.py"):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports_of(name: str, path: Path) -> Iterator[Import]:
    """Every import of a module, also inside functions and for type checking."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(name, alias.name, at_import, child.lineno)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield Import(name, full, at_import, child.lineno)
            else:
                executed = not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not (
                    isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                )
                yield from visit(child, at_import and executed)

    return visit(ast.parse(path.read_text()), True)


IMPORTS = [item for name, path in modules().items() for item in imports_of(name, path)]


def shown(items: list[Import]) -> list[str]:
    return [f"{item.importer}:{item.line} imports {item.imported}" for item in items]


@cache
def components() -> set[str]:
    """The packages and modules at the top of seqbench."""
    return {name.split(".")[1] for name in modules() if "." in name}


def imported_component(item: Import) -> str:
    """Which part of seqbench an import reaches; "" for a name of the package itself."""
    part = [*item.imported.split("."), ""][1]
    return part if part in components() else ""


UPWARD = {
    ("seqbench.api", "seqbench.nn.RecurrentModel"): "its former place, for one release",
}
"""Imports that run up a floor: who imports what, and why. docs/architecture.md says so too."""


def floors(may_import: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the floor on which each part stands: one above the highest that it may import.

    Raises:
        ValueError: two parts may import each other, directly or through others.
    """
    above = {part: allowed - {part} for part, allowed in may_import.items()}
    try:
        order = list(TopologicalSorter(above).static_order())
    except CycleError as error:
        raise ValueError(f"no part may stand above itself: {' -> '.join(error.args[1])}") from None
    found: dict[str, int] = {}
    for part in order:
        found[part] = 1 + max((found[name] for name in above[part]), default=-1)
    return found


def test_import_direction() -> None:
    """Each part imports only the parts below it."""
    assert {item.component for item in IMPORTS} <= set(MAY_IMPORT)
    wrong = [
        item
        for item in IMPORTS
        if item.top == "seqbench"
        and imported_component(item) not in MAY_IMPORT[item.component] | EVERYWHERE
        and not _own_helper(item)
        and (item.importer, item.imported) not in UPWARD
    ]
    assert [] == shown(wrong)


def test_no_arrow_runs_back_up() -> None:
    """An import from a floor above is an exception, and its reason stands on the page."""
    standing = floors(MAY_IMPORT)
    page = (ROOT / "docs" / "architecture.md").read_text()
    upward = {
        (item.importer, item.imported)
        for item in IMPORTS
        if item.top == "seqbench"
        and imported_component(item) not in {item.component, *EVERYWHERE}
        and not _own_helper(item)
        and standing[imported_component(item)] >= standing[item.component]
    }
    assert set(UPWARD) == upward
    for importer, imported in UPWARD:
        assert f"`{importer}`" in page
        assert f"`{imported.rpartition('.')[2]}`" in page


def test_the_registry_knows_the_contracts_as_types_only() -> None:
    """It must not load torch, so it imports them for type checkers and nowhere else."""
    places = modules()
    found = [i for i in IMPORTS if i.component == "registry" and imported_component(i) == "api"]
    assert found
    for item in found:
        blocks = (
            range(node.lineno, (node.end_lineno or 0) + 1)
            for node in ast.parse(places[item.importer].read_text()).body
            if isinstance(node, ast.If) and "TYPE_CHECKING" == ast.unparse(node.test)
        )
        assert any(item.line in block for block in blocks), shown([item])


def test_two_parts_that_import_each_other_are_refused() -> None:
    """A table with a cycle has no floors, and the message names the cycle."""
    with pytest.raises(ValueError, match=r"no part may stand above itself: .*(api.*nn|nn.*api)"):
        floors({"api": {"nn"}, "nn": {"api"}, "errors": set()})


def test_only_the_version_comes_from_the_top() -> None:
    """The package itself hands on the Python API; below it, nothing else may be taken from it."""
    taken = {item.imported for item in IMPORTS if imported_component(item) == ""}
    ours = {name for name in taken if name.partition(".")[0] == "seqbench"}
    assert ours <= {"seqbench.__version__"}


def _own_helper(item: Import) -> bool:
    """Whether a built-in imports a ``_helper`` beside it, a module of its folder or of one below.

    Below is what :data:`BUILDS_ON` says.
    """
    parts = item.imported.split(".")
    if item.component not in ("plugins", "tasks") or parts[1] != item.component:
        return False
    importer = item.importer.split(".")[:3]
    below = BUILDS_ON.get(".".join(importer), set())
    return parts[2].startswith("_") or parts[:3] == importer or parts[2] in below


@pytest.mark.parametrize("package", ONLY_IN)
def test_packages_stay_where_they_belong(package: str) -> None:
    users = {item.component for item in IMPORTS if item.top == package}
    assert users <= ONLY_IN[package]
    assert users


def test_the_engine_is_reached_through_its_front() -> None:
    """What seqbench.nn does not hand on is the engine's own."""
    inner = "seqbench.nn.backends."
    outside = [item for item in IMPORTS if item.component != "nn"]
    wrong = [item for item in outside if f"{item.imported}.".startswith(inner)]
    assert [] == shown(wrong)


def test_standard_library_only() -> None:
    wrong = [
        item
        for item in IMPORTS
        if item.component in STANDARD_LIBRARY_ONLY
        and item.top not in sys.stdlib_module_names | {"seqbench"}
    ]
    assert [] == shown(wrong)


def test_light_modules_import_nothing_heavy_at_import() -> None:
    """The command, its subcommands and the registry import what computes inside functions only."""
    wrong = [i for i in IMPORTS if i.at_import and i.component in LIGHT and i.top in HEAVY]
    assert [] == shown(wrong)
    commands = [name for name in modules() if name.startswith("seqbench.commands.")]
    code = f"import sys, {', '.join(commands)}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set() == HEAVY & set(result.stdout.split())


def test_nothing_imports_built_ins_statically() -> None:
    """The registry alone loads models and tasks, by name."""
    wrong = [
        item
        for item in IMPORTS
        if item.imported.startswith(("seqbench.plugins", "seqbench.tasks", "plugins.", "tasks."))
        and not _own_helper(item)
    ]
    assert [] == shown(wrong)


def test_every_package_is_packaged() -> None:
    """A package that pyproject.toml does not list works editable and is missing from the wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [name for name, path in modules().items() if path.name == "__init__.py"]
    assert sorted(folders) == sorted(settings["packages"])
    mapped = {name: str(folder.relative_to(ROOT)) for name, folder in FOLDERS.items()}
    assert mapped == settings["package-dir"]
    assert settings["package-data"]["seqbench.conf"] == ["**/*.yaml"]


@pytest.mark.parametrize(("kind", "package"), [("model", "plugins"), ("task", "tasks")])
def test_one_name_everywhere(kind: Kind, package: str) -> None:
    """Stems of module, configuration and test are one name, and the class is named like it."""
    stems = {
        path.stem
        for path in (ROOT / package).iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir())
    }
    assert stems
    assert stems == {path.stem for path in (ROOT / "conf" / kind).glob("*.yaml")}
    tests = [path.stem + "_" for path in (ROOT / "tests" / package).glob("test_*.py")]
    assert [] == [s for s in stems if not any(name.startswith(f"test_{s}_") for name in tests)]
    configured = (ROOT / "conf" / kind).rglob("*.yaml")
    names = {
        path.relative_to(ROOT / "conf" / kind).with_suffix("").as_posix() for path in configured
    }
    built_in = [item for item in registry().all(kind) if item.origin == BUILT_IN]
    assert {item.name for item in built_in} == names
    for item in built_in:
        module, _, class_name = item.target.partition(":")
        assert class_name == class_named_like(module.rpartition(".")[2], f"class {class_name}")


@pytest.mark.parametrize("folder", [path.parent for path in (ROOT / "tasks").glob("*/__init__.py")])
def test_a_task_without_a_class_is_its_default_subtask(folder: Path) -> None:
    """A task's bare name stands for its default subtask, in every configuration."""
    names = {item.name: item.target for item in registry().all("task")}
    default = re.search(r'^default = "(.+)"$', (folder / "__init__.py").read_text(), re.MULTILINE)
    if default is None:
        assert names[folder.name].startswith(f"seqbench.tasks.{folder.name}:")
        return
    whole = f"{folder.name}/{default.group(1)}"
    assert names[whole] == names[folder.name]
    composed, same = (compose([f"task={name}"]) for name in (folder.name, whole))
    assert whole == composed.task.name
    assert composed == same


def test_modules_are_short() -> None:
    """A file that needs a table of contents is two files: also a test, a benchmark, an example."""
    folders = ("seqbench", "plugins", "tasks", "tests", "benchmarks", "docs", "examples")
    files = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    assert len(files) > len(modules())
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {} == {name: length for name, length in lengths.items() if length >= 400}
