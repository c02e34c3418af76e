"""Whether the process that started a run is still there."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path


def host() -> str:
    """Return this machine's name, to recognise runs that were started here."""
    return socket.gethostname()


def started(pid: int) -> str:
    """Return when a process of this machine started, in comparable form; empty if it has ended.

    On Linux ``boot/pid namespace/clock ticks`` of ``/proc`` (see proc_pid_stat(5), field 22);
    elsewhere the output of ``ps``. If a new process reuses the number, its start differs.
    """
    if Path("/proc/self/stat").exists():
        return _started_by_proc(pid)
    return _started_by_ps(pid)


def is_gone(pid: int, start: str) -> bool:
    """Return whether a process of this machine has certainly ended.

    Args:
        pid: its number.
        start: result of :func:`started` while it ran; empty if unknown. A process of
            the same boot in another container cannot be seen from here, and counts as alive.
    """
    here = started(os.getpid())
    if not start or not here or started(pid) == start:
        return False
    boot, namespace = _boot_and_namespace(start)
    here_boot, here_namespace = _boot_and_namespace(here)
    return boot != here_boot or namespace == here_namespace


def _boot_and_namespace(start: str) -> tuple[str, str]:
    boot, _, namespace = start.rpartition("/")[0].partition("/")
    return boot, namespace


def _started_by_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the command's name, in brackets, may hold spaces
    if fields[0] in "ZX":  # a zombie has ended, though its parent has not asked how
        return ""
    return f"{boot}/{namespace}/{fields[19]}"


def _started_by_ps(pid: int) -> str:
    try:
        answer = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True, text=True, timeout=5, check=False,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return " ".join(answer.stdout.split())
