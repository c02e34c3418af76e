"""``seqbench new``: a file, or a whole distribution, to begin a model or a task with."""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from seqbench import __version__
from seqbench.commands import read
from seqbench.errors import EXIT_DONE, Refused, shortened, why_not
from seqbench.registry.modules import package_folders
from seqbench.registry.plugins import registry
from seqbench.registry.registration import Kind

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class _Asked(NamedTuple):
    kind: Kind
    name: str
    folder: Path
    as_package: bool


def command(args: list[str]) -> int:
    """Write what is asked for, and say what to type next.

    Args:
        args: see ``seqbench new --help``.

    Raises:
        Refused: the name is impossible or taken, or something is there already.
    """
    asked = _read(args)
    written = _package(asked) if asked.as_package else _files(asked)
    there = next((path for path in written if path.exists()), None)
    if there is not None:
        raise Refused(f"{there} is there already; choose another name, or out=FOLDER")
    if not asked.folder.absolute().parent.is_dir():
        raise Refused(
            f"out={asked.folder}: there is no folder {asked.folder.parent}; make it first"
        )
    try:
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(
            f"{error.filename} cannot be written: {why_not(error)}; name a place with out=PATH"
        ) from error
    for path in written:
        sys.stdout.write(f"{path}\n")
    sys.stdout.write("next:\n" + "".join(f"  {line}\n" for line in _next(asked)))
    return EXIT_DONE


def _read(args: list[str]) -> _Asked:
    given = read("new", args)
    kind: Kind = "model" if given.text("KIND") == "model" else "task"
    name = given.text("NAME")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise Refused(
            f"'{shortened(name)}' cannot be a name: it must be made of lower-case letters, digits "
            "and _, begin with a letter, and be no keyword or standard module of Python"
        )
    taken = {item.name: item.origin for item in registry().all(kind)}
    if name in taken:
        raise Refused(f"{kind} '{name}' is there already ({taken[name]}); choose another name")
    folder = Path(given.text("out")).expanduser()
    return _Asked(kind, name, folder, given.flag("--package"))


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _file(asked: _Asked) -> Path:
    return asked.folder / f"{asked.name}.py"


def _files(asked: _Asked) -> dict[Path, str]:
    """Return the file; of one that is to come with seqbench, its configuration too."""
    found = {_file(asked): _source(asked)}
    if _is_built_in(asked):
        configurations = package_folders("seqbench.conf")[0]
        found[configurations / asked.kind / f"{asked.name}.yaml"] = _yaml(asked)
    return found


def _is_built_in(asked: _Asked) -> bool:
    """Whether it is written where the built-in ones are, which needs no ``+plugin=``."""
    package = "seqbench.plugins" if asked.kind == "model" else "seqbench.tasks"
    folders = [folder.resolve() for folder in package_folders(package)]
    return not asked.as_package and asked.folder.resolve() in folders


def _source(asked: _Asked) -> str:
    """Return the file of the model or task: a template that runs, under another name."""
    text = files("seqbench.templates").joinpath(f"my_{asked.kind}.py").read_text(encoding="utf-8")
    return text.replace(f"My{asked.kind.capitalize()}", _class_name(asked.name))


def _package(asked: _Asked) -> dict[Path, str]:
    """Return every file of a distribution."""
    package = f"seqbench_{asked.name}"
    root = asked.folder / package.replace("_", "-")
    names = {
        "kind": asked.kind,
        "name": asked.name,
        "class_name": _class_name(asked.name),
        "package": package,
        "distribution": root.name,
        "version": __version__,
        "trial": _trial(asked),
        "argument": _class_name(asked.name) + ("" if asked.kind == "model" else "()"),
    }

    def filled(template: str) -> str:
        text = files("seqbench.templates").joinpath("package", template).read_text("utf-8")
        return Template(text).substitute(names)

    return {
        root / "pyproject.toml": filled("pyproject.toml.txt"),
        root / "README.md": filled("README.md.txt"),
        root / package / "__init__.py": filled("hooks.py.txt"),
        root / package / f"{asked.name}.py": _source(asked),
        root / package / "conf" / "__init__.py": filled("conf.py.txt"),
        root / package / "conf" / asked.kind / f"{asked.name}.yaml": _yaml(asked),
        root / "tests" / f"test_{asked.name}.py": filled("test.py.txt"),
    }


def _yaml(asked: _Asked) -> str:
    """Return the configuration that the template's constructor has, as YAML."""
    from omegaconf import OmegaConf

    from seqbench.config.searchpath import from_signature
    from seqbench.registry.registration import Registration

    target = f"seqbench.templates.my_{asked.kind}:My{asked.kind.capitalize()}"
    node: Mapping[str, Any] = from_signature(Registration(asked.kind, asked.name, target, ""))
    return OmegaConf.to_yaml(OmegaConf.create(dict(node)))


def _trial(asked: _Asked) -> str:
    pair = {"model": "lstm", "task": "music", asked.kind: asked.name}
    return f"task={pair['task']} model={pair['model']}"


def _next(asked: _Asked) -> list[str]:
    """Return what to type now."""
    if asked.as_package:
        folder = next(iter(_package(asked))).parent
        return [
            f"pip install -e {shlex.quote(str(folder))}",
            f"seqbench check {asked.kind}={asked.name}",
            f"seqbench {_trial(asked)}",
        ]
    if _is_built_in(asked):
        return [f"seqbench check {asked.kind}={asked.name}", f"seqbench {_trial(asked)}"]
    file = shlex.quote(str(_file(asked)))
    lines = [f"seqbench check {file}", f"seqbench +plugin={file} {_trial(asked)}"]
    if asked.kind == "model":
        lines += [
            f"seqbench +plugin={file} -m task=music model=lstm,{asked.name} 'seed=range(10)'",
            f"seqbench +plugin={file} compare lstm {asked.name}",
        ]
    return lines
