"""The example plugin, installed as a user would, beside plugins that are broken or clash."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.registry.plugins import DISABLED, PLUGIN_FILES, registry

EXAMPLE = Path(__file__).parents[1] / "examples" / "seqbench-plugin-example"

BROKEN = {"broken_plugin.py": "import module_that_is_not_there\n"}
CLASH = {
    "clash_plugin.py": (
        "from seqbench.registry.hookspecs import Entry, hookimpl\n\n\n"
        "@hookimpl\n"
        "def seqbench_models():\n"
        "    return [Entry('mgu', 'seqbench_example.mgu:MGU')]\n"
    )
}

Result = subprocess.CompletedProcess[str]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(made_once: Callable[[str, Callable[[Path], None]], Path]) -> str:
    """The interpreter of an environment layered over this one, with the example installed."""
    return str(made_once("layered", install) / "environment" / "bin" / "python")


def install(folder: Path) -> None:
    """Make that environment."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    lines = [f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()]
    (Path(own) / "layer.pth").write_text("".join(lines))
    # A copy: building leaves files beside pyproject.toml.
    source = shutil.copytree(EXAMPLE, folder / "source")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--no-index", str(source)]
    installed = subprocess.run(command, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr


@pytest.fixture
def run(python: str, tmp_path: Path) -> Callable[..., Result]:
    """Run seqbench there, in an empty directory."""

    def command(*args: str) -> Result:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [python, "-m", "seqbench", *args], capture_output=True, text=True, cwd=folder
        )

    return command


@pytest.fixture
def run_here(
    python: str,
    fresh_registry: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Result]:
    """Run seqbench in this process, which is faster, with what is installed there."""
    (packages,) = Path(python).parents[1].glob("lib/*/site-packages")
    monkeypatch.syspath_prepend(packages)

    def command(*args: str, path: Path | None = None) -> Result:
        if path is not None:
            monkeypatch.syspath_prepend(path)
        for variable in (PLUGIN_FILES, DISABLED):
            monkeypatch.setenv(variable, "")
        registry.cache_clear()
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        return Result(args, main(args), *capfd.readouterr())

    return command


def distribution(folder: Path, name: str, files: dict[str, str]) -> Path:
    """Write a distribution with one plugin, as installers leave it."""
    info = folder / f"{name}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[seqbench]\n{name} = {name}_plugin\n")
    for file, text in files.items():
        (folder / file).write_text(text)
    return folder


def test_list_and_describe(run: Callable[..., Result]) -> None:
    """Both say where the plugin's model and task come from, and what they are."""
    listed = run("list")
    assert (0, "") == (listed.returncode, listed.stderr)
    rows = {line.split()[0]: line for line in listed.stdout.splitlines() if line.strip()}
    for name in ("mgu", "latch"):
        assert rows[name].endswith("usable")
        assert "seqbench-plugin-example 0.1.0" in rows[name]
    assert "  metric calibration  The expected calibration error" in listed.stdout
    assert "  callback gradients  Says at the end of training" in listed.stdout
    described = run("describe", "task=latch")
    assert "task.lag=40  (a whole number)\n      steps of noise at least." in described.stdout
    assert "Ranks (test)\n  accuracy, larger is better" in described.stdout


def test_trial_with_both(run: Callable[..., Result]) -> None:
    """The model has YAML, the task's configuration comes from its signature."""
    result = run("task=latch", "model=mgu", "experiment=smoke", "tracking=none", "task.lag=12")
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout
    assert "calibration/error 0." in result.stdout  # its metric
    assert "largest gradient norm: " in result.stderr  # its callback
    shown = run("task=latch", "model=mgu", "--cfg", "job", "--package", "task").stdout
    assert (
        "# @package task\ntitle: null\nname: latch\nlag: 40\nnoise: 0.2\nsequences: 800\n" in shown
    )


def test_its_output_is_kept_with_the_run(run_here: Callable[..., Result], tmp_path: Path) -> None:
    """Beside the learning curve: the rows of the test sequence with the largest loss."""
    result = run_here("task=latch", "model=mgu", "experiment=smoke", "task.lag=12")
    assert result.returncode == 0, result.stderr
    (kept,) = (tmp_path / "work" / "seqbench-runs" / "artifacts").glob("*/artifacts")
    (heading, row) = (kept / "worst.csv").read_text().splitlines()
    assert "sequence,step,loss,target,prediction" == heading
    assert 5 == len(row.split(","))
    assert (kept / "learning_curve.png").is_file()


def test_sweep_with_built_ins(run_here: Callable[..., Result]) -> None:
    """The plugin's model beside a built-in one on the plugin's task; a mistake is refused."""
    sweep = ["-m", "task=latch", "model=mgu,gru", "experiment=smoke", "tracking=none"]
    result = run_here(*sweep)
    assert result.returncode == 0, result.stderr
    for model in ("mgu", "gru"):
        assert model in result.stdout
    refused = run_here("task=latch", "model=mgu", "task.lga=3")
    assert refused.returncode == 2
    assert "unknown key 'task.lga' (did you mean 'task.lag'?)" in refused.stderr
    impossible = run_here("task=latch", "model=mgu", "task.lag=-3", "tracking=none")
    assert (2, 1) == (impossible.returncode, impossible.stderr.count("\n"))
    assert "task.lag must be at least 1, not -3" in impossible.stderr


def test_beside_a_broken_plugin(run_here: Callable[..., Result], tmp_path: Path) -> None:
    """A trial warns in one line that names plugin, distribution and version, and goes on."""
    path = distribution(tmp_path / "site", "broken", BROKEN)
    trial = ["task=latch", "model=mgu", "experiment=smoke", "tracking=none"]
    result = run_here(*trial, path=path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith(
        "seqbench: warning: plugin 'broken' (broken 2.0): import failed: ModuleNotFoundError: "
        "No module named 'module_that_is_not_there'\n"
    )


def test_beside_a_plugin_of_another_version(
    run_here: Callable[..., Result], tmp_path: Path
) -> None:
    """What its metadata asks for is told, and its code is not imported."""
    path = distribution(tmp_path / "site", "late", {"late_plugin.py": "raise SystemExit(3)\n"})
    with (path / "late-2.0.dist-info" / "METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: torch\nRequires-Dist: SeqBench (>=9,<10)\n")
    listed = run_here("list", path=path)
    assert 0 == listed.returncode
    assert (
        "plugin 'late' (late 2.0): it is made for seqbench<10,>=9, and this is 0.1.0: another "
        "version of one of them is needed" in listed.stdout
    )


def test_without_plugins(run_here: Callable[..., Result]) -> None:
    """What comes with seqbench alone, whatever is installed; a refusal says why."""
    listed = run_here("--no-plugins", "list")
    assert 0 == listed.returncode
    assert "mgu" not in listed.stdout
    assert "calibration" not in listed.stdout
    refused = run_here("model=mgu", "task=music", "--no-plugins")
    assert 2 == refused.returncode
    assert "SEQBENCH_DISABLE_PLUGINS=* leaves plugins out" in refused.stderr


def test_every_installed_plugin_is_checked(run_here: Callable[..., Result]) -> None:
    """The example's model and task keep every promise."""
    result = run_here("check", "--installed", "--json")
    assert result.returncode == 0, result.stdout
    found = {item["name"]: item["checks"] for item in json.loads(result.stdout)}
    assert {"mgu", "latch"} == set(found)
    assert {"kept", "skipped"} >= {check["status"] for item in found.values() for check in item}


def test_beside_a_plugin_with_the_same_name(
    run_here: Callable[..., Result], tmp_path: Path
) -> None:
    """Selecting the name is refused and names both distributions; other names work."""
    path = distribution(tmp_path / "site", "clash", CLASH)
    refused = run_here("task=latch", "model=mgu", path=path)
    assert (2, 1) == (refused.returncode, refused.stderr.count("\n"))
    assert "clash 2.0" in refused.stderr
    assert "seqbench-plugin-example 0.1.0" in refused.stderr
    other = run_here("task=latch", "model=rnn", "experiment=smoke", "tracking=none", path=path)
    assert other.returncode == 0, other.stderr


def test_its_own_tests_pass(python: str, tmp_path: Path) -> None:
    """The conformance suite runs in a plugin's own tests."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    result = subprocess.run(
        [*command, f"--rootdir={EXAMPLE}", "-c", os.devnull],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert result.returncode == 0, result.stdout


def test_model_as_a_single_file(run_here: Callable[..., Result]) -> None:
    """The same model needs no distribution: ``+plugin=`` takes the class named like the file.

    Here its name is the installed plugin's too, so that it is refused; that names the file.
    """
    file = EXAMPLE / "seqbench_example" / "mgu.py"
    refused = run_here(f"+plugin={file}", "task=latch", "model=mgu")
    assert refused.returncode == 2
    assert str(file) in refused.stderr


def test_single_file_in_this_environment(tmp_path: Path) -> None:
    """Where the plugin is not installed, its file alone gives the model."""
    file = EXAMPLE / "seqbench_example" / "mgu.py"
    task = EXAMPLE / "seqbench_example" / "latch.py"
    command = [sys.executable, "-m", "seqbench", f"+plugin={file}", f"+plugin={task}"]
    trial = ["model=mgu", "task=latch", "experiment=smoke", "tracking=none", "task.lag=12"]
    result = subprocess.run([*command, *trial], capture_output=True, text=True, cwd=tmp_path)
    assert (0, "") == (result.returncode, result.stderr)
    assert [] == list(tmp_path.iterdir())


def test_a_model_that_nobody_here_wrote(
    fresh_registry: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The authors' own sLSTM, wrapped in 40 lines, keeps every promise and trains."""
    if importlib.util.find_spec("xlstm") is None:
        pytest.skip("the package xlstm is not installed")
    file = EXAMPLE.parent / "slstm.py"
    assert len(file.read_text().splitlines()) <= 40
    monkeypatch.chdir(tmp_path)
    trial = [f"+plugin={file}", "task=music", "model=slstm", "experiment=smoke", "tracking=none"]
    for words in (["check", str(file)], trial):
        assert 0 == main(words), "".join(capfd.readouterr())
