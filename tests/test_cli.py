"""The command as a user meets it: what it prints, how it ends, and what it leaves alone."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import seqbench
from seqbench import cli
from seqbench.commands import SUBCOMMANDS
from seqbench.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED

# The command with a trial that trains nothing and does what its seed says.
STAND_IN = """
import sys
import time
import types


def run(settings, planned=None):
    print("trial", settings.model, settings.seed, flush=True)
    if settings.seed == 1:
        raise ValueError("a\\nbug")
    if settings.seed == 2:
        raise SystemExit(7)
    if settings.seed == 3:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)
    if settings.seed == 4:
        time.sleep(60)
    if settings.seed == 5:
        from seqbench.errors import Refused
        raise Refused("no such data")
    if settings.seed == 7:
        raise BrokenPipeError(32, "Broken pipe")
    if settings.seed == 99:
        class Slow:
            def __del__(self):
                time.sleep(1)
        item = Slow()
        del item
        time.sleep(60)
    if settings.seed == 8:
        try:
            time.sleep(60)
        finally:
            time.sleep(1)
    if settings.seed == 6:
        from seqbench.errors import TrialFailed
        raise TrialFailed("the loss is not finite")
    from seqbench.records import TrialRecord
    scores = {"test/loss": 1.0, "valid/loss": 1.0}
    return TrialRecord("key", settings.task, settings.model, settings.seed, metrics=scores)


stand_in = types.ModuleType("seqbench.trials.run")
stand_in.run = run
sys.modules["seqbench.trials.run"] = stand_in
import seqbench.reporting.terminal

seqbench.reporting.terminal.print_result = lambda record, **_: None
from seqbench.cli import main

sys.exit(main())
"""

Result = subprocess.CompletedProcess[str]


def seqbench_command(*args: str, **env: str) -> Result:
    """Run the real command in a process of its own."""
    command = [sys.executable, "-m", "seqbench", *args]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | env)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command with stand-in trials, in an empty working directory."""
    script = tmp_path / "bin" / "seqbench"
    script.parent.mkdir()
    script.write_text(STAND_IN)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return [sys.executable, str(script)]


def finish(command: list[str], *args: str, **env: str) -> Result:
    return subprocess.run([*command, *args], capture_output=True, text=True, env=os.environ | env)


def test_version() -> None:
    result = seqbench_command("--version")
    assert (0, f"seqbench {seqbench.__version__}\n") == (result.returncode, result.stdout)


def test_no_arguments_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "seqbench task=music model=bilstm" in capsys.readouterr().out


def test_help_speaks_of_seqbench() -> None:
    """Help lists every subcommand with its arguments, every group, and every section."""
    result = seqbench_command("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("seqbench compares recurrent sequence models")
    assert "powered by Hydra" not in result.stdout.lower()
    for name in SUBCOMMANDS:
        assert f"\n  seqbench {name}" in result.stdout
    for group in ("experiment: none, smoke", "trainer: cpu, gpu", "tracking: local, none"):
        assert f"\n{group}" in result.stdout
    assert re.search(r"\nmodel: .*lstm.*\n", result.stdout)
    assert "\nrecipe:\n  optimizer: adamw\n" in result.stdout


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_subcommands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a usage line, and a module with its function."""
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: seqbench {name}")
    module = __import__(f"seqbench.commands.{SUBCOMMANDS[name].module}", fromlist=["command"])
    assert callable(module.command)


def test_hydra_flags_work() -> None:
    hydra_help = seqbench_command("--hydra-help")
    assert (hydra_help.returncode, hydra_help.stderr) == (0, "")
    info = seqbench_command("--info", "searchpath")
    assert "pkg://seqbench.conf" in info.stdout
    shown = seqbench_command("model=gru", "--cfg", "job", "--package", "model")
    assert "name: gru" in shown.stdout
    assert shown.returncode == info.returncode == 0


def test_configurations_of_a_sweep() -> None:
    """``-m`` with ``--cfg job`` shows each trial's configuration."""
    result = seqbench_command("-m", "model=lstm,gru", "--cfg", "job", "--package", "model")
    assert (result.returncode, result.stderr) == (0, "")
    assert [
        line for line in result.stdout.splitlines() if line.startswith(("# trial", "name"))
    ] == ["# trial 1: model=lstm", "name: lstm", "# trial 2: model=gru", "name: gru"]


@pytest.mark.parametrize(
    ("args", "start"),
    [
        (["lst"], "'lst' is neither a subcommand nor key=value (did you mean 'list'?)"),
        ([""], "'' is neither"),
        (
            ["list", "modles"],
            "seqbench list: KIND must be one of models, tasks, not 'modles' (did you mean",
        ),
        (["describe"], "nothing to describe"),
        (["describe", "model=lstn"], "unknown model 'lstn' (did you mean 'lstm'?)"),
        (["describe", "lstn"], "'lstn' cannot be described"),
        (["--multirn"], "unknown flag '--multirn' (did you mean '--multirun'?)"),
        (["--cfg", "jb"], "--cfg must be one of job, hydra, all, not 'jb' (did you mean 'job'?)"),
        (
            ["--config-dir", "/nowhere", "seed=1"],
            "Additional config directory '/nowhere' not found",
        ),
        (["+plugin=nowhere.py"], "+plugin=nowhere.py: there is no such Python file"),
        (["task=musik"], "unknown task 'musik' (did you mean 'music'?)"),
        (["model.hidden_sise=3"], "unknown key 'model.hidden_sise' (did you mean"),
        (["+model.foo=3"], "unknown key 'model.foo'"),
        (["recipe.lr=0"], "recipe.lr must be a positive number"),
        (["model.hidden_size=abc"], "model.hidden_size must be a whole number"),
        (["-m", "model=lstm,lstn"], "unknown model 'lstn'"),
        (["task=a=b["], "cannot read 'task=a=b['"),
    ],
)
def test_mistakes_are_one_line(
    args: list[str], start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line on stderr, nothing on stdout, nothing written."""
    monkeypatch.chdir(tmp_path)
    result = seqbench_command(*args)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (EXIT_REFUSED, "", 1)
    assert result.stderr.startswith(f"seqbench: {start}")
    assert list(tmp_path.iterdir()) == []


def test_traceback_on_request() -> None:
    result = seqbench_command("recipe.lr=0", SEQBENCH_TRACEBACK="1")
    assert result.returncode == EXIT_REFUSED
    assert "Traceback (most recent call last)" in result.stderr


def test_a_trial(command: list[str]) -> None:
    """One trial runs in the working directory, says nothing itself, and leaves no file."""
    result = finish(command, "model=gru")
    assert (result.returncode, result.stdout, result.stderr) == (0, "trial gru 0\n", "")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("seed", "code", "line"),
    [
        (1, EXIT_FAILED, "internal error: ValueError: a bug; SEQBENCH_TRACEBACK=1 shows where"),
        (2, EXIT_FAILED, "the trial exited with code 7"),
        (3, EXIT_INTERRUPTED, "interrupted"),
        (5, EXIT_REFUSED, "no such data"),
        (6, EXIT_FAILED, "the loss is not finite"),
        (
            7,
            EXIT_FAILED,
            (
                "internal error: BrokenPipeError: [Errno 32] Broken pipe; "
                "SEQBENCH_TRACEBACK=1 shows where"
            ),
        ),
    ],
)
def test_how_a_trial_ends(command: list[str], seed: int, code: int, line: str) -> None:
    result = finish(command, f"seed={seed}")
    assert (code, f"seqbench: {line}\n") == (result.returncode, result.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("sweep", [["seed=4"], ["-m", "seed=4,0", "tracking=none"]])
def test_signals_interrupt(command: list[str], number: int, sweep: list[str]) -> None:
    """Ctrl-C and SIGTERM end a trial, and a sweep as a whole, with 130; the last line says so."""
    process = subprocess.Popen(
        [*command, *sweep], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "trial lstm 4\n"
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (EXIT_INTERRUPTED, "")
    lines = err.splitlines()
    assert "seqbench: interrupted" == lines[-1]
    assert (1 if len(sweep) == 1 else 3) == len(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_a_finaliser_is_not_lost(command: list[str], number: int) -> None:
    """Python drops what __del__ raises; it is said again, without a traceback."""
    process = subprocess.Popen(
        [*command, "seed=99"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "trial lstm 99\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (EXIT_INTERRUPTED, "seqbench: interrupted\n")


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_further_signals_do_not_cut_the_clean_up_short(
    command: list[str], first: int, second: int
) -> None:
    process = subprocess.Popen(
        [*command, "seed=8"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "trial lstm 8\n"
    time.sleep(0.2)
    for number in (first, second, second, second, second):
        process.send_signal(number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (EXIT_INTERRUPTED, "seqbench: interrupted\n")


def test_a_sweep_of_which_nothing_was_started(command: list[str]) -> None:
    """Where every trial is refused the sweep is, too."""
    result = finish(command, "-m", "model=lstm,gru", "seed=5", "tracking=none")
    assert result.returncode == EXIT_REFUSED
    assert result.stderr.endswith("seqbench: 2 of 2 trials failed\n")
    assert finish(command, "-m", "seed=5,0", "tracking=none").returncode == EXIT_FAILED


def test_sweep(command: list[str]) -> None:
    """Each trial costs a line; what fails stops no other; the end says how many failed."""
    words = ("task=music", "-m", "model=lstm,gru", "seed=0,1,5,2", "tracking=none")
    result = finish(command, *words)
    assert result.returncode == EXIT_FAILED
    trials = [f"trial {model} {seed}" for model in ("lstm", "gru") for seed in (0, 1, 5, 2)]
    assert trials == [line for line in result.stdout.splitlines() if line.startswith("trial")]
    lines = result.stderr.splitlines()
    assert lines[0] == "seqbench: 8 trials: 8 new; 8 to run (rerun=stale)"
    assert lines[2].startswith("seqbench: [2/8] music lstm seed=1: FAILED: ValueError: a bug")
    assert lines[3].startswith("seqbench: [3/8] music lstm seed=5: REFUSED: no such data")
    assert lines[-1] == "seqbench: 6 of 8 trials failed"
    assert len(lines) == 10
    assert list(Path.cwd().iterdir()) == []


def test_sweeps_at_once(command: list[str]) -> None:
    """Two sweeps in one directory do not meet, and their scratch folders do not stay."""
    scratch = Path.cwd().parent / "scratch"
    scratch.mkdir()
    processes = [
        subprocess.Popen(
            [*command, "-m", f"model={model}", "seed=0,9", "tracking=none"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(scratch)},
        )
        for model in ("lstm", "gru")
    ]
    for process, model in zip(processes, ("lstm", "gru"), strict=True):
        out, _ = process.communicate(timeout=60)
        assert 0 == process.returncode
        assert out.startswith(f"trial {model} 0\ntrial {model} 9\n")
    assert [*Path.cwd().iterdir(), *scratch.iterdir()] == []


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("word", ["list", "--help"])
def test_broken_pipe_is_not_an_error(word: str, unbuffered: str) -> None:
    """``seqbench list | head -0`` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", "seqbench", word],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writing)
    assert (0, "") == (result.returncode, result.stderr)


@pytest.mark.parametrize(
    ("redirection", "line"),
    [
        (">&-", "standard output is closed"),
        pytest.param(
            "> /dev/full",
            "cannot write to standard output: No space left on device",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full"),
        ),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("word", ["list", "--help"])
def test_output_that_cannot_be_written(
    word: str, unbuffered: str, redirection: str, line: str
) -> None:
    result = subprocess.run(
        f"{shlex.quote(sys.executable)} -m seqbench {word} {redirection}",
        shell=True,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    assert (EXIT_FAILED, f"seqbench: {line}\n") == (result.returncode, result.stderr)


def test_closed_stderr() -> None:
    """A refusal that nobody hears is still one."""
    command = f"{shlex.quote(sys.executable)} -m seqbench lst 2>&-"
    assert subprocess.run(command, shell=True).returncode == EXIT_REFUSED
