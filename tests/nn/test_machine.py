"""The compiled CPU back end's machinery: threads, buffers that are used again, cache on disk."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seqbench.nn import Cell, LSTMCell, Named, PeepholeLSTMCell, RNNCell, fallback, unroll
from seqbench.nn.backends.cpu import machine
from seqbench.nn.backends.cpu.workspace import Workspace
from seqbench.plugins.fgr import FGRCell
from seqbench.plugins.gru import ResetBeforeGRUCell

kernel: Any = importlib.import_module("seqbench.nn.backends.cpu.kernel")  # also a function's name
Run = Callable[..., Any]


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Keep machine code in an empty folder; each call forgets what this process has compiled.

    Returns:
        Grows by an entry for each compilation.
    """
    monkeypatch.setenv("SEQBENCH_CACHE", str(tmp_path / "cache"))
    compiled: list[str] = []
    compile_text = machine._compile

    def count(text: str, target: Any) -> bytes:
        compiled.append(text)
        return compile_text(text, target)

    monkeypatch.setattr(machine, "_compile", count)

    def forget() -> list[str]:
        monkeypatch.setattr(kernel, "_KERNELS", type(kernel._KERNELS)())
        monkeypatch.setattr(kernel, "_COMPILED", {})
        return compiled

    return forget


# Batch, steps and widths: large enough for threads; rows and columns that do not divide evenly.
@pytest.mark.parametrize("lengths", [None, torch.tensor([40, 3, 40, 1, 17, 40, 29])])
@pytest.mark.parametrize("cell_class", [PeepholeLSTMCell, ResetBeforeGRUCell, FGRCell])
@pytest.mark.parametrize("openmp", [True, False], ids=["openmp", "python threads"])
def test_any_number_of_threads_gives_the_same_bits(
    openmp: bool,
    cell_class: type[Cell],
    lengths: Tensor | None,
    threads: Callable[[int], None],
    randomised: Run,
    results: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell, values = randomised(cell_class, (9, 37), torch.float32), torch.randn(7, 40, 9)
    calls = []
    call = machine.Library.call

    def count(library: machine.Library, name: str, blocks: Any) -> None:
        calls.append(len(blocks))
        call(library, name, blocks)

    monkeypatch.setattr(machine.Library, "call", count)
    if openmp:
        assert machine._openmp() is not None, "torch's OpenMP was not found"
    else:
        monkeypatch.setattr(machine, "_openmp", lambda: None)
    found = []
    for number in (1, 2, 3):
        threads(number)
        found.append(results("cpu", cell, values, lengths))
        assert number == max(calls)
    for other in found[1:]:
        assert [] == [name for name, part in found[0].items() if not torch.equal(part, other[name])]


def test_many_sequences_give_the_same_bits_on_any_number_of_threads(
    threads: Callable[[int], None], randomised: Run, results: Run
) -> None:
    """Where torch itself would split the sum over the batch."""
    cell, values = randomised(PeepholeLSTMCell, (2, 100), torch.float32), torch.randn(400, 2, 2)
    found = []
    for number in (1, 2, 3):
        threads(number)
        found.append(results("cpu", cell, values))
    for other in found[1:]:
        assert [] == [name for name, part in found[0].items() if not torch.equal(part, other[name])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_a_sequence_alone_gives_the_same_bits(dtype: torch.dtype, randomised: Run) -> None:
    """Neither the batch nor the padding around a sequence changes its hidden states."""
    cell, values = randomised(LSTMCell, (5, 37), dtype), torch.randn(13, 30, 5, dtype=dtype)
    lengths = torch.randint(1, 31, (13,))
    together = unroll(cell, values, lengths, backend="cpu")
    for row, length in enumerate(lengths.tolist()):
        alone = unroll(cell, values[row : row + 1, :length], backend="cpu")
        assert torch.equal(alone.hidden[0], together.hidden[row, :length])
        assert all(
            torch.equal(a[0], b[row]) for a, b in zip(alone.state, together.state, strict=True)
        )


@pytest.mark.parametrize("cell_class", [PeepholeLSTMCell, ResetBeforeGRUCell, FGRCell])
def test_reads_no_number_that_it_did_not_write(
    cell_class: type[Cell], randomised: Run, results: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffers hold anything at first: NaN here."""
    borrow = Workspace.borrow

    def borrow_dirty(*arguments: Any, **options: Any) -> Any:
        loan = borrow(*arguments, **options)
        loan.tensor.fill_(torch.nan)
        return loan

    cell, values = randomised(cell_class, (3, 5)), torch.randn(4, 6, 3).double()
    lengths = torch.tensor([6, 1, 4, 6])
    expected = results("cpu", cell, values, lengths)
    monkeypatch.setattr(Workspace, "borrow", borrow_dirty)
    torch.use_deterministic_algorithms(True)  # fills fresh tensors with NaN
    try:
        found = results("cpu", cell, values, lengths)
    finally:
        torch.use_deterministic_algorithms(False)
    assert [] == [name for name, part in expected.items() if not torch.equal(part, found[name])]


def test_a_buffer_is_lent_once_at_a_time_and_used_again() -> None:
    workspace = Workspace(idle=2)
    first, second = (workspace.borrow(5000, dtype=torch.float32) for _ in range(2))
    places = {first.tensor.data_ptr(), second.tensor.data_ptr()}
    assert 2 == len(places)
    del first, second
    again = [workspace.borrow(50, 98, dtype=torch.float32) for _ in range(3)]
    assert places < {loan.tensor.data_ptr() for loan in again}


def test_the_garbage_collector_may_give_buffers_back_at_any_moment() -> None:
    """Also while the same thread borrows: it does not wait for itself."""
    workspace = Workspace()

    class Holder:
        """Refers to itself, so that only the garbage collector frees it."""

    def work() -> None:
        for threshold in range(1, 40):
            gc.set_threshold(threshold)
            for _ in range(30):
                holder = Holder()
                holder.me = holder  # type: ignore[attr-defined]
                holder.loan = workspace.borrow(4096, dtype=torch.float32)  # type: ignore[attr-defined]

    before = gc.get_threshold()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    gc.set_threshold(*before)
    assert not thread.is_alive()


@pytest.mark.slow
def test_another_process_compiles_nothing_again(
    cold: Callable[[], list[str]], tmp_path: Path
) -> None:
    """One file for a cell and dtype in $SEQBENCH_CACHE, which the next process reads."""
    values = torch.ones(2, 3, 2)
    compiled = cold()
    expected = unroll(RNNCell(2, 4), values, backend="cpu").hidden
    assert 1 == len(compiled)
    (file,) = (tmp_path / "cache" / "cells").iterdir()
    cold()
    unroll(RNNCell(2, 5), values, backend="cpu")
    assert 1 == len(compiled), "another size is the same code"
    code = (
        "import torch; from seqbench.nn import RNNCell, unroll; "
        "from seqbench.nn.backends.cpu import machine; machine._compile = None; "
        "torch.manual_seed(0); "
        "print(unroll(RNNCell(2, 4), torch.ones(2, 3, 2), backend='cpu').hidden.sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert expected.sum().item() == float(done.stdout)
    unroll(RNNCell(2, 4).double(), values.double(), backend="cpu")
    assert 2 == len(compiled)
    assert file.is_file()


@pytest.mark.parametrize("damage", [b"short", None])
def test_a_damaged_file_is_compiled_again(
    damage: bytes | None, cold: Callable[[], list[str]], tmp_path: Path
) -> None:
    compiled = cold()
    unroll(RNNCell(2, 4), torch.ones(2, 3, 2), backend="cpu")
    (file,) = (tmp_path / "cache" / "cells").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    cold()
    unroll(RNNCell(2, 4), torch.ones(2, 3, 2), backend="cpu")
    assert 2 == len(compiled)
    assert whole[:32] == file.read_bytes()[:32]


@pytest.mark.parametrize("place", ["cache", "cache/cells"])
def test_a_folder_that_cannot_be_written_is_no_failure(
    place: str, cold: Callable[[], list[str]], tmp_path: Path
) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.touch()  # a file where a folder should be, which stops the superuser too
    for expected in (1, 2):
        compiled = cold()
        unroll(RNNCell(2, 4), torch.ones(2, 3, 2), backend="cpu")
        assert expected == len(compiled)


def test_threads_compile_at_once(cold: Callable[[], list[str]], tmp_path: Path) -> None:
    cold()
    cells = [RNNCell(2, 4) for _ in range(4)]
    values = torch.ones(2, 3, 2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda cell: unroll(cell, values, backend="cpu").hidden, cells))
    for cell, hidden in zip(cells, found, strict=True):
        torch.testing.assert_close(unroll(cell, values, backend="reference").hidden, hidden)
    assert 1 == len(list((tmp_path / "cache" / "cells").iterdir()))


@pytest.mark.slow
def test_processes_compile_at_once(tmp_path: Path) -> None:
    code = (
        "import torch; from seqbench.nn import RNNCell, fallback, unroll; "
        "cell, values = RNNCell(2, 4), torch.ones(2, 3, 2); "
        "a, b = (unroll(cell, values, backend=name).hidden for name in ('cpu', 'reference')); "
        "assert fallback(cell, values, 'cpu') is None; torch.testing.assert_close(a, b)"
    )
    environment = {**os.environ, "SEQBENCH_CACHE": str(tmp_path)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [0, 0] == [process.wait(100) for process in started]
    assert 1 == len(list((tmp_path / "cells").iterdir()))


class Scaled(Cell):
    """A number and a private one that the equations use, which may change."""

    gates = ("h",)

    def __init__(self, input_size: int, hidden_size: int, slope: float, floor: float) -> None:
        super().__init__(input_size, hidden_size)
        self.slope = slope
        self._floor = floor

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        scale = self.slope / self.hidden_size if self.training else self.slope
        return {"h": torch.tanh(a.h * scale) + self._floor}


def test_numbers_that_equations_use_may_change() -> None:
    """Of one cell, and between cells of a class: attributes, sizes and the mode."""
    values = torch.randn(2, 3, 2).double()

    def check(cell: Cell) -> None:
        assert fallback(cell, values, "cpu") is None
        expected, found = (unroll(cell, values, backend=b).hidden for b in ("reference", "cpu"))
        torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)

    cell = Scaled(2, 4, 0.5, 0.0).double()
    check(cell)
    cell.slope = 2.0
    check(cell)
    cell._floor = 0.3
    check(cell)
    check(cell.eval())
    check(Scaled(2, 9, 2.0, 0.3).double())


def test_hidden_states_are_not_borrowed() -> None:
    """One sequence's states stay what they are when the next one runs."""
    cell = LSTMCell(3, 5)
    with torch.no_grad():
        first = unroll(cell, torch.randn(1, 4, 3), backend="cpu").hidden
        expected = first.clone()
        unroll(cell, torch.randn(1, 4, 3), backend="cpu")
    assert torch.equal(expected, first)
