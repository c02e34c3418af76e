"""The one command: a subcommand, or else a trial given as Hydra overrides.

A mistake of the user's is one line on stderr; ``SEQBENCH_TRACEBACK=1`` shows where it was raised.
Exit codes: 0 done, 1 something failed, 2 refused before it started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeGuard

from seqbench import __version__
from seqbench.commands import SUBCOMMANDS
from seqbench.commands.usage import help_text
from seqbench.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    TRACEBACK,
    Refused,
    SeqbenchError,
    TrialFailed,
    did_you_mean,
    folded,
    is_interrupt,
    shortened,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

_PLUGIN = "+plugin="
_NO_PLUGINS = "--no-plugins"
_AGAIN = 0.05  # seconds until an interrupt that was lost in a finaliser is repeated


_EXAMPLE = "seqbench -m task=music model=lstm,gru seed=0,1,2"
_USAGE = """\
usage: seqbench [key=value ...]     run a trial, for example: seqbench task=music model=bilstm
       seqbench list                models and tasks
       seqbench --help              everything else
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: words after the command's name; None takes the process's own.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if sys.stderr is None:  # closed, as in `seqbench list 2>&-`
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stderr.write("seqbench: standard output is closed\n")
        return EXIT_FAILED
    with _terminable():
        try:
            code = _dispatch(args)
        except SystemExit as stop:
            code = EXIT_INTERRUPTED if is_interrupt(stop) else _exit_code(stop)
        except (Exception, KeyboardInterrupt) as error:
            code = _unwritable(error) if _is_of_stdout(error) else _report(error)
        try:
            sys.stdout.flush()
        except OSError as error:
            code = max(code, _unwritable(error))
        return code


def _is_of_stdout(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error came from writing to standard output, and not from a plugin's own files."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is not None:
        return False
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as fault:
        return fault.errno == error.errno
    return False


def _unwritable(error: OSError) -> int:
    """Return the exit code of a command whose output cannot be written.

    That nobody reads on is no fault (``seqbench list | head``).
    """
    _discard_stdout()
    if error.errno == errno.EPIPE:
        return EXIT_DONE
    sys.stderr.write(f"seqbench: cannot write to standard output: {error.strerror}\n")
    return EXIT_FAILED


def _discard_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(args: list[str]) -> int:
    args = _take_plugin_files(args)
    if not args:
        sys.stdout.write(_USAGE)
        return EXIT_DONE
    first, rest = args[0], args[1:]
    if first == "--version":
        sys.stdout.write(f"seqbench {__version__}\n")
        return EXIT_DONE
    if first in SUBCOMMANDS:
        subcommand = SUBCOMMANDS[first]
        if {"--help", "-h"} & set(rest):
            sys.stdout.write(help_text(first))
            return EXIT_DONE
        module = importlib.import_module(f"seqbench.commands.{subcommand.module}")
        command: Callable[[list[str]], int] = module.command
        return command(rest)
    if "=" not in first and not first.startswith(("-", "+", "~")):
        hint = did_you_mean(first, SUBCOMMANDS)
        raise Refused(
            f"'{shortened(first)}' is neither a subcommand nor key=value{hint}; see seqbench --help"
        )
    return _hydra(args)


def _hydra(args: list[str]) -> int:
    """Run the Hydra application: trials, or Hydra's own answers such as ``--cfg job``."""
    flags = _parse_flags(args)
    runs_trials = not (flags.help or flags.shell_completion)
    if any(word.startswith("query=") for word in flags.overrides) and not _complete():
        return EXIT_DONE

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, and we print them
    import tempfile

    import hydra

    from seqbench.config import searchpath
    from seqbench.registry.plugins import CONFIGS

    if runs_trials:  # help and TAB need no sweeper, and it takes as long to import as Hydra
        from seqbench.sweeps import sweeper

        sweeper.register()
    searchpath.enable(import_plugins=runs_trials)

    failures: list[Exception] = []

    @hydra.main(
        version_base=searchpath.VERSION_BASE,
        config_path=f"pkg://{CONFIGS}",
        config_name=searchpath.CONFIG_NAME,
    )
    def application(cfg: DictConfig) -> None:
        try:
            _trial(cfg)
        except Exception as error:  # Hydra would print a line of its own
            failures.append(error)

    overrides = list(flags.overrides)
    if flags.config_dir and os.path.isdir(flags.config_dir):
        searchpath.add_folder(Path(flags.config_dir).absolute())
    if flags.multirun and runs_trials:
        _warn_of_problems()
    # argparse, as Hydra uses it, wants flags before overrides: `task=music -m model=lstm,gru`.
    options = [word for word in args if word not in flags.overrides]
    commands = [[*options, *flags.overrides]]
    if flags.multirun and flags.cfg:  # Hydra refuses the two together
        from seqbench.config.members import sweep_members

        options = [word for word in options if word not in ("-m", "--multirun")]
        commands = [[*options, *words] for words in sweep_members(flags.overrides)]
    before = sys.argv
    try:
        if runs_trials and not flags.config_path:
            from seqbench.config.composition import check_choices

            check_choices(overrides)
            sweeper.check_launcher(overrides)
        # A sweep wants a folder for its own bookkeeping; it is not worth keeping.
        with tempfile.TemporaryDirectory(prefix="seqbench-") as scratch:
            os.environ["SEQBENCH_SCRATCH"] = scratch
            for number, words in enumerate(commands, start=1):
                sys.argv = [before[0], *words]
                if len(commands) > 1:
                    sys.stdout.write(f"# trial {number}: {' '.join(words[len(options) :])}\n")
                application()
    except SystemExit as stop:
        if stop.code not in (None, EXIT_DONE):
            raise
    except Exception as error:
        if _is_of_stdout(error):
            raise
        from seqbench.config.composition import explain

        raise explain(error, overrides) from error
    finally:
        sys.argv = before
        os.environ.pop("SEQBENCH_SCRATCH", None)
    if failures:
        raise failures[0]
    return EXIT_DONE


def _trial(cfg: DictConfig) -> None:
    """Run one trial and print its result; called by Hydra."""
    from hydra.core.hydra_config import HydraConfig

    from seqbench.trials.equal_size import trial_settings

    settings = trial_settings(cfg, HydraConfig.get().overrides.task)
    _warn_of_problems()
    from seqbench.trials.run import run

    try:
        record = run(settings)
    except SystemExit as stop:
        if is_interrupt(stop):
            raise KeyboardInterrupt from stop
        raise TrialFailed(f"the trial exited with code {_exit_code(stop)}") from stop
    from seqbench.config.command import kept_words
    from seqbench.reporting.terminal import print_result

    print_result(record, kept=kept_words(settings))


def _take_plugin_files(args: list[str]) -> list[str]:
    """Register the files given as ``+plugin=PATH``, mind ``--no-plugins``; return other words."""
    kept = []
    for word in args:
        if word == _NO_PLUGINS:
            from seqbench.registry.plugins import disable_plugins

            disable_plugins()
        elif word.startswith(_PLUGIN):
            from seqbench.registry.plugins import add_plugin_file

            add_plugin_file(word.removeprefix(_PLUGIN))
        elif word.startswith(("plugin=", "++plugin=")):
            raise Refused(f"{word}: write {_PLUGIN}{word.partition('=')[2]}, with one +")
        else:
            kept.append(word)
    return kept


def _parse_flags(args: list[str]) -> argparse.Namespace:
    """Read Hydra's flags; an unknown one is refused in one line."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.allow_abbrev = False  # `--multi` would start a sweep
    flags = {option: action for action in parser._actions for option in action.option_strings}

    def refuse(message: str) -> NoReturn:
        for at, word in enumerate(args):
            flag, equals, value = word.partition("=")
            if flag.startswith("-") and flag not in flags:
                hint = did_you_mean(flag, [name for name in flags if len(name) > len("-sc")])
                raise Refused(f"unknown flag '{shortened(flag)}'{hint}; see seqbench --help")
            choices = flags[flag].choices if flag in flags else None
            if choices is not None:
                value = value if equals else "".join(args[at + 1 : at + 2])
                if value not in choices:
                    known = ", ".join(map(str, choices))
                    given = f", not '{shortened(value)}'" if value else ""
                    hint = did_you_mean(value, map(str, choices))
                    raise Refused(f"{flag} must be one of {known}{given}{hint}")
        raise Refused(f"{message}; see seqbench --help")

    parser.error = refuse  # type: ignore[method-assign]
    found = parser.parse_intermixed_args(args)
    alone = [f"--{name}" for name in ("run", "multirun", "info") if getattr(found, name)]
    if found.cfg and not found.multirun:
        alone.append("--cfg")
    if len(alone) > 1:
        raise Refused(f"{' and '.join(alone)} cannot be given together; leave one out")
    shows = found.help or found.hydra_help or found.info or found.cfg or found.shell_completion
    if not (shows or found.overrides):
        raise Refused(f"{' '.join(args)}: name what to run, for example: {_EXAMPLE}")
    return found


def _complete() -> bool:
    """Answer TAB where a subcommand or one of its words can stand.

    Returns:
        Whether Hydra has something to add; it then sees the words that follow the subcommand.
    """
    from seqbench.commands.completion import complete

    found, line = complete(os.environ.get("COMP_LINE", ""), _PLUGIN)
    sys.stdout.write("".join(f"{text}\n" for text in found))
    if line is not None:
        os.environ["COMP_LINE"] = line
    return line is not None


def _warn_of_problems() -> None:
    from seqbench.registry.plugins import registry

    for problem in registry().problems:
        sys.stderr.write(f"seqbench: warning: {problem}\n")


def _report(error: BaseException) -> int:
    """Print an exception on stderr, one line and its details, and return its exit code."""
    if os.environ.get(TRACEBACK) == "1":
        import traceback

        traceback.print_exception(error)
    code = EXIT_FAILED
    line = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        code, line = EXIT_INTERRUPTED, "interrupted"
    elif isinstance(error, Refused):
        code = EXIT_REFUSED
    elif not isinstance(error, SeqbenchError):
        line = f"internal error: {type(error).__name__}: {line}; {TRACEBACK}=1 shows where"
    details = error.details if isinstance(error, Refused) else ()
    sys.stderr.write("".join(f"{text}\n" for text in (*folded(f"seqbench: {line}"), *details)))
    return code


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return EXIT_DONE
    return stop.code if isinstance(stop.code, int) else EXIT_FAILED


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a trial as Ctrl-C does; further ones do not cut its clean-up short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    interrupted = 0  # the signal that did it

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = signum
            raise KeyboardInterrupt

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        """Say once more, from outside of it, what a finaliser was told and could not raise."""
        nonlocal interrupted
        if not isinstance(found.exc_value, KeyboardInterrupt):
            hook(found)
            return
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), interrupted or signal.SIGINT))
        interrupted = 0
        again.daemon = True
        again.start()

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    # One that is ignored stays so, as of a job that a shell started in the background.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, old in before.items():  # an interrupted process does nothing more but end
            signal.signal(number, signal.SIG_IGN if interrupted else old)
