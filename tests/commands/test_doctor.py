"""Each line of the doctor's report is ok, or says what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seqbench.commands import doctor
from seqbench.commands.doctor import Finding
from seqbench.errors import EXIT_DONE, EXIT_FAILED, Refused


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))


def by_subject(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_report_and_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One thing to do makes the exit code 1; the report says how many there are."""
    for name in ("versions", "devices", "engine", "plugins", "data"):
        fine = [Finding(True, name, "fine")]
        monkeypatch.setattr(doctor, f"check_{name}", lambda fine=fine: iter(fine))
    for finding, code, last in (
        (Finding(True, "tracking", "fine"), EXIT_DONE, "all is well"),
        (Finding(False, "tracking", "start the server"), EXIT_FAILED, "1 to do"),
    ):
        monkeypatch.setattr(doctor, "check_tracking", lambda finding=finding: iter([finding]))
        assert code == doctor.command([])
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "ok     versions    fine"
        assert last == lines[-1]
    assert lines[-2] == "TO DO  tracking    start the server"


def test_arguments_are_refused() -> None:
    with pytest.raises(Refused, match="takes no arguments, not 'task=music'"):
        doctor.command(["task=music"])


def test_engine_compiles_and_says_where_it_keeps_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "cells").mkdir(parents=True)
    found = by_subject(doctor.check_engine())["engine"]
    assert found.ok
    assert "-bit vectors; compiled cells are kept in" in found.message
    monkeypatch.setenv("SEQBENCH_CACHE", "/proc/nowhere")
    assert "each run compiles again" in by_subject(doctor.check_engine())["engine"].message


def test_an_engine_that_cannot_compile_is_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqbench.nn.fallback", lambda *_: "cpu: no machine code")
    found = by_subject(doctor.check_engine())["engine"]
    assert not found.ok
    assert "install llvmlite again" in found.message


def test_versions_are_those_installed() -> None:
    """The versions shown are the installed ones, with the range that seqbench's metadata has."""
    found = by_subject(doctor.check_versions())
    assert {"python", "torch", "lightning", "mlflow", "hydra-core", "packages"} == set(found)
    assert all(finding.ok for finding in found.values())
    assert found["mlflow"].message.startswith(f"{metadata.version('mlflow')} (needs ")


def test_wrong_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version out of range and a missing distribution say what to install."""
    lines = ["torch<2,>=1", "surely-not-installed>=3", "skipped>=1; extra == 'slurm'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    monkeypatch.setattr(metadata, "metadata", lambda name: {"Requires-Python": "<3"})
    found = by_subject(doctor.check_versions())
    assert not found["python"].ok
    assert not found["torch"].ok
    assert found["torch"].message.endswith("pip install 'torch<2,>=1'")
    assert (
        found["surely-not-installed"].message
        == "missing, needs >=3: pip install 'surely-not-installed>=3'"
    )
    assert "skipped" not in found


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch can use is named together with the option that uses it."""
    import torch

    gpu: Any = SimpleNamespace(name="A GPU", total_memory=2**34)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    found = by_subject(doctor.check_devices())
    assert Finding(True, "gpu", "A GPU, 16 GiB: trainer=gpu") == found["gpu"]
    assert "trainer=cpu" in found["cpu"].message


def test_driver_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU whose driver is too old is something to do, and the reason is torch's own."""
    import warnings

    import torch

    def complain() -> bool:
        warnings.warn("CUDA initialization: the driver is too old", UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", complain)
    found = by_subject(doctor.check_devices())
    assert not found["gpu"].ok
    assert "the driver is too old" in found["gpu"].message


def test_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins that are left out, and names that cannot be loaded, are things to do."""

    class Registry:
        problems = ("plugin 'x' (x 1.0): import failed: no module y",)

        def all(self, kind: str) -> list[Any]:
            return [SimpleNamespace(name=f"a_{kind}", origin="built-in")]

        def get(self, kind: str, name: str) -> Any:
            def load() -> None:
                if kind == "task":
                    raise Refused(f"task '{name}' cannot be imported: why")

            return SimpleNamespace(load=load)

    monkeypatch.setattr(doctor, "registry", Registry)
    assert [
        Finding(True, "models", "built-in: a_model"),
        Finding(False, "tasks", "task 'a_task' cannot be imported: why"),
        Finding(False, "plugins", "plugin 'x' (x 1.0): import failed: no module y"),
    ] == list(doctor.check_plugins())


def test_built_in_plugins_are_usable() -> None:
    """Every built-in model and task can be imported here."""
    assert [finding for finding in doctor.check_plugins() if not finding.ok] == []


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache holds is told; a folder that cannot hold anything is something to do."""
    [found] = doctor.check_data()
    assert found.ok
    assert "nothing cached yet" in found.message
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.npz").write_bytes(b"0" * 2_500_000)
    [found] = doctor.check_data()
    assert f"{tmp_path}/data: 1 files, 2.5 MB" in found.message
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data" / "x.npz"))
    [found] = doctor.check_data()
    assert (
        Finding(False, "data", f"{tmp_path}/data/x.npz is not a folder: set SEQBENCH_DATA to one")
        == found
    )
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data" / "x.npz" / "below"))
    [found] = doctor.check_data()
    assert not found.ok


def test_tracking_store_to_come(tmp_path: Path) -> None:
    """No store yet is no fault, and looking for one makes none."""
    [found] = doctor.check_tracking()
    assert found.ok
    assert f"the first trial makes {tmp_path}/seqbench-runs/mlflow.db" == found.message
    assert list(tmp_path.iterdir()) == []


def test_tracking_store_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.db").write_text("no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "x.db")
    [found] = doctor.check_tracking()
    assert not found.ok
    assert "x.db cannot be used: file is not a database" in found.message


def test_doctor_is_light_at_import() -> None:
    """Importing the command imports nothing heavy; the checks do."""
    import subprocess

    code = (
        "import sys, seqbench.commands.doctor, seqbench.commands.ui, seqbench.tracking.store\n"
        "assert not {'torch', 'lightning', 'mlflow', 'matplotlib', 'hydra'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_tracking_store_is_counted() -> None:
    """The store's runs are counted by status."""
    from seqbench.config.settings import TrackingSettings
    from seqbench.records import TrialRecord
    from seqbench.tracking.store import open_store

    store = open_store(TrackingSettings())
    for status in ("FINISHED", "FINISHED", "FAILED"):
        record = TrialRecord("k", "music", "lstm", 0, status=status)  # type: ignore[arg-type]
        store.start(record, {}, {}).finish(record)
    [found] = doctor.check_tracking()
    assert (
        Finding(True, "tracking", "seqbench-runs/mlflow.db: 3 runs (FAILED 1, FINISHED 2)") == found
    )
