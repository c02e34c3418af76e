"""``seqbench doctor``: versions, devices, plugins, data, tracking; each ok, or what to do."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from seqbench import __version__
from seqbench.commands import read
from seqbench.config.machine import DATA_VARIABLE, data_folder, usable_cpus, why_unwritable
from seqbench.config.settings import TrackingSettings
from seqbench.errors import EXIT_DONE, EXIT_FAILED, SeqbenchError
from seqbench.registry.plugins import registry
from seqbench.registry.registration import KINDS
from seqbench.reporting.text import wrapped

_SHOWN = ("torch", "lightning", "mlflow", "hydra-core")


class Finding(NamedTuple):
    """One line of the report.

    Args:
        ok: whether nothing needs to be done.
        subject: what was looked at.
        message: what was found, and otherwise what to do; a long list has several lines.
    """

    ok: bool
    subject: str
    message: str


def command(args: list[str]) -> int:
    """Print the findings as they come; 0 if all is ok, 1 otherwise.

    Args:
        args: nothing.

    Raises:
        Refused: there are arguments.
    """
    read("doctor", args)
    checks: list[Callable[[], Iterator[Finding]]] = [
        check_versions,
        check_devices,
        check_engine,
        check_plugins,
        check_data,
        check_tracking,
    ]
    failed = 0
    for check in checks:
        for finding in check():
            failed += not finding.ok
            mark = "ok" if finding.ok else "TO DO"
            first, *others = finding.message.splitlines() or [""]
            sys.stdout.write(f"{mark:<7}{finding.subject:<12}{first}\n")
            sys.stdout.write("".join(f"{'':<19}{line}\n" for line in others))
            sys.stdout.flush()
    sys.stdout.write(f"{failed} to do\n" if failed else "all is well\n")
    return EXIT_FAILED if failed else EXIT_DONE


def check_versions() -> Iterator[Finding]:
    """Compare Python and the installed distributions with what seqbench's metadata asks for."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    python = platform.python_version()
    wanted = SpecifierSet(metadata.metadata("seqbench")["Requires-Python"] or "")
    advice = "" if python in wanted else ": make an environment with a Python that it supports"
    yield Finding(not advice, "python", f"{python} (seqbench {__version__} needs {wanted}){advice}")
    others = []
    for line in sorted(metadata.requires("seqbench") or []):
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, needs = requirement.name, requirement.specifier
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "missing"
        if version == "missing" or not needs.contains(version, prereleases=True):
            message = f"{version}, needs {needs or 'any version'}: pip install '{requirement}'"
            yield Finding(False, name, message)
        elif name in _SHOWN:
            yield Finding(True, name, f"{version} (needs {needs})")
        else:
            others.append(f"{name} {version}")
    yield Finding(True, "packages", wrapped(", ".join(others)))


def check_devices() -> Iterator[Finding]:
    """Look for CPUs and GPUs as torch sees them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import torch

            has_gpu = torch.cuda.is_available()
        except (ImportError, OSError) as error:
            yield Finding(False, "torch", f"cannot be imported: {error}; install torch again")
            return
    cpus = usable_cpus()
    yield Finding(
        True, "cpu", f"{cpus} usable: trainer=cpu, of which trainer.threads= takes 1 or more"
    )
    if has_gpu:
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            memory = gpu.total_memory / 2**30
            yield Finding(True, "gpu", f"{gpu.name}, {memory:.0f} GiB: trainer=gpu")
        return
    complaints = [
        str(item.message).splitlines()[0] for item in caught if "CUDA" in str(item.message)
    ]
    if complaints:
        yield Finding(False, "gpu", f"torch cannot use it: {complaints[0]}; mend the driver")
    elif torch.version.cuda is None and Path("/proc/driver/nvidia/version").exists():
        yield Finding(
            False, "gpu", f"torch {torch.__version__} is a CPU build: install torch with CUDA"
        )
    else:
        yield Finding(True, "gpu", "none that torch can use; trainer=cpu is the default")


def check_engine() -> Iterator[Finding]:
    """Try each back end: a line for each that is a device's default, one for all others."""
    import torch

    from seqbench.nn import BACKENDS, RNNCell, fallback

    present = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    others = []
    for name, backend in BACKENDS.items():
        usable = [device for device in present if device in (backend.devices or present)]
        if not usable:
            others.append(f"{name} (needs {' or '.join(backend.devices)})")
            continue
        values = torch.zeros(1, 1, 1, device=usable[0])
        reason = fallback(RNNCell(1, 1).to(usable[0]), values, name)
        if not set(usable) & set(backend.default_on):
            others.append(f"{name} ({reason or backend.version()})")
        elif reason is None:
            facts = [f"backend={name} {backend.version()}", backend.storage()]
            yield Finding(True, "engine", "; ".join(filter(None, facts)))
        else:
            yield Finding(False, "engine", f"{reason}: {backend.advice}")
    yield Finding(True, "back ends", wrapped(", ".join(others)))


def check_plugins() -> Iterator[Finding]:
    """Import every model and task, and name the plugins that are left out."""
    found = registry()
    for kind in KINDS:
        usable: dict[str, list[str]] = {}
        for item in found.all(kind):
            try:
                found.get(kind, item.name).load()
            except SeqbenchError as error:
                yield Finding(False, f"{kind}s", str(error))
            else:
                usable.setdefault(item.origin, []).append(item.name)
        for origin, names in usable.items():
            yield Finding(True, f"{kind}s", wrapped(f"{origin}: {', '.join(names)}"))
    for problem in found.problems:
        yield Finding(False, "plugins", problem)


def check_data() -> Iterator[Finding]:
    """Look at the folder in which tasks cache their data."""
    folder = data_folder()
    if folder.exists() and not folder.is_dir():
        yield Finding(False, "data", f"{folder} is not a folder: set {DATA_VARIABLE} to one")
        return
    if reason := why_unwritable(folder):
        advice = f"set {DATA_VARIABLE} to a folder that can be written"
        yield Finding(False, "data", f"{folder} cannot be written ({reason}): {advice}")
        return
    sizes = list(_sizes_below(folder))
    held = f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB" if sizes else "nothing cached yet"
    yield Finding(True, "data", f"{folder}: {held}; `seqbench prepare task=NAME` fills it")


def _sizes_below(folder: Path) -> Iterator[int]:
    """Yield the files' sizes in bytes, while another process may be filling the folder."""
    for inside, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield Path(inside, name).stat().st_size


def check_tracking() -> Iterator[Finding]:
    """Open the tracking store that a trial would use; nothing is created."""
    from seqbench.tracking.address import check_writable, is_ready, locate
    from seqbench.tracking.store import COUNT_LIMIT, open_store

    try:
        address = locate(None)
        if address.database is not None and not is_ready(address.database):
            yield _store_to_come(address.database)
            return
        check_writable(address)
        store = open_store(TrackingSettings(), create=False)
        runs = store.count()
    except SeqbenchError as error:
        yield Finding(False, "tracking", str(error))
        return
    count = sum(runs.values())
    number = f"the latest {count}" if count >= COUNT_LIMIT else str(count)
    statuses = ", ".join(f"{status} {runs[status]}" for status in sorted(runs))
    repaired = f"; {store.repaired} of a dead process now KILLED" if store.repaired else ""
    message = f"{address.shown}: {number} runs{f' ({statuses})' if statuses else ''}{repaired}"
    yield Finding(True, "tracking", message)


def _store_to_come(database: Path) -> Finding:
    from seqbench.tracking.address import OTHERWISE

    if reason := why_unwritable(database.parent):
        advice = f"work in a folder that can be written, or {OTHERWISE}"
        return Finding(False, "tracking", f"{database} cannot be made ({reason}): {advice}")
    return Finding(True, "tracking", f"the first trial makes {database}")
