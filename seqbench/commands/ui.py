"""``seqbench ui``: MLflow's own page over the tracking store, on this machine only."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import IO, Any

from seqbench.commands import read
from seqbench.config.uris import uri_of
from seqbench.errors import EXIT_DONE, Refused, SeqbenchError
from seqbench.tracking.address import Address, is_ready, locate, no_store_yet
from seqbench.tracking.mlflow_client import set_environment
from seqbench.tracking.pages import VIEW, experiment_page
from seqbench.tracking.readonly import readable

HOST = "127.0.0.1"
DEFAULT = "Default"
"""The experiment that MLflow makes in every store."""

_START_SECONDS = 180
_STOP_SECONDS = 10
_MOST_EXPERIMENTS = 10


def command(args: list[str]) -> int:
    """Serve the page until Ctrl-C or SIGTERM, which is how it ends well.

    Args:
        args: see ``seqbench ui --help``.

    Raises:
        Refused: an argument is wrong, there is no store yet, or the port is in use.
        SeqbenchError: MLflow's server did not start, or ended by itself.
    """
    given = read("ui", args)
    port = given.whole("port")
    address = locate(given.optional("tracking.uri"))
    if address.is_server:
        sys.stdout.write("The runs are on a server.\n")
        _say_where(address.shown)
        return EXIT_DONE
    if address.database is not None and not is_ready(address.database):
        raise no_store_yet(address)
    _check_port(port)
    with tempfile.TemporaryFile() as output:
        server = _start(address, port, output)
        try:
            _serve(server, address, port, output)
        except KeyboardInterrupt:
            return EXIT_DONE
        finally:
            _stop(server)
    return EXIT_DONE


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            with socket.socket() as other:
                other.bind((HOST, 0))
                free = other.getsockname()[1]
            reason = error.strerror or str(error)
            raise Refused(f"port {port}: {reason.lower()}; try seqbench ui port={free}") from error


def _start(address: Address, port: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start MLflow's server as the leader of a process group of its own."""
    set_environment()
    uri, folder = address.uri, None
    if address.database is not None:  # MLflow would make a folder named like the escaped path
        database = readable(address.database)
        folder = database.parent
        uri = uri_of(database.relative_to(folder), "sqlite")
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,  # not on the command line: it may hold a password
        "PYTHONSAFEPATH": "1",  # nothing in the store's folder is imported
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nine more processes, of no use here
        "PYTHONWARNINGS": "ignore",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)),
            *("--workers", "1", "--uvicorn-opts", "--log-level warning"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )


def _serve(server: subprocess.Popen[bytes], address: Address, port: int, output: IO[bytes]) -> None:
    """Say where the page is once it is there, and wait for the server to end."""
    sys.stdout.write(f"Starting MLflow's page over {address.shown} ...\n")
    sys.stdout.flush()
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SeqbenchError(f"MLflow's page did not start: {_last_line(output)}")
        time.sleep(0.2)
    _say_where(f"http://{HOST}:{port}")
    sys.stdout.write("Ctrl-C ends it.\n")
    sys.stdout.flush()
    code = server.wait()
    raise SeqbenchError(f"MLflow's page ended with code {code}: {_last_line(output)}")


def _say_where(base: str) -> None:
    """Say at which addresses the page shows the runs of each experiment, the newest first."""
    pages = []
    for item in _experiments(base):
        name, tags = str(item.get("name")), {tag.get("key") for tag in item.get("tags", [])}
        if tags or name != DEFAULT:  # MLflow's own has neither runs nor tags
            page = experiment_page(base, str(item["experiment_id"]), VIEW in tags)
            pages.append((name, page))
    if len(pages) < 2:
        sys.stdout.write(f"Open {pages[0][1] if pages else base}\n")
        return
    for name, page in pages:
        sys.stdout.write(f"Open {page} (experiment {name})\n")


def _experiments(base: str) -> list[dict[str, Any]]:
    """Return MLflow's description of each experiment, empty if the server does not say."""
    body = json.dumps({"max_results": _MOST_EXPERIMENTS, "order_by": ["last_update_time DESC"]})
    request = urllib.request.Request(
        f"{base.rstrip('/')}/api/2.0/mlflow/experiments/search",
        body.encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with _opener(base).open(request, timeout=10) as answer:
            found = json.load(answer).get("experiments", [])
        return [item for item in found if isinstance(item, dict) and "experiment_id" in item]
    except (OSError, ValueError, AttributeError):
        return []


def _opener(base: str) -> urllib.request.OpenerDirector:
    """Return what opens addresses: this machine directly, whatever proxy the environment names."""
    if base.startswith(f"http://{HOST}:"):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


def _answers(port: int) -> bool:
    base = f"http://{HOST}:{port}"
    try:
        with _opener(base).open(f"{base}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and every process it started."""
    try:
        _signal(server, signal.SIGTERM)
        server.wait(_STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    finally:
        _signal(server, signal.SIGKILL)
        server.wait()


def _signal(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(server.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
