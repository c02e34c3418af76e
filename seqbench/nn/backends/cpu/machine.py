"""From generated code to machine code, kept on disk for the next process."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import llvmlite
import torch
from llvmlite import binding as llvm
from llvmlite import ir
from platformdirs import user_cache_path
from threadpoolctl import threadpool_info

from seqbench.nn.backends.cpu.build import INT, POINTER, VOID, Code, Shape, Value, const

ATTRIBUTES = (
    'attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" '
    '"reciprocal-estimates"="%s" }'
)
"""Let registers be as wide as the machine has them, and a reciprocal be estimated in the one place
that allows it."""

INSTRUCTIONS = "SEQBENCH_INSTRUCTIONS"
"""Environment variable: ``avx2`` compiles for any x86-64 with AVX2 and FMA, and not for this one.
The same code then gives the same bits on all of them: reciprocals, whose estimates differ between
makers, are divisions. Golden numbers are made so."""


def register_shape(dtype: torch.dtype) -> Shape:
    """Return how this machine's registers are used."""
    features = _features()
    triple = llvm.get_default_triple()
    if features.get("avx512f"):
        bits, vectors = 512, 4  # 32 registers: 24 sums, 4 of B, 1 of A
    elif features.get("avx2") and features.get("fma"):
        bits, vectors = 256, 2  # 16 registers: 12 sums, 2 of B, 1 of A
    else:
        bits, vectors = 128, 4 if "aarch64" in triple or "arm64" in triple else 2
    return Shape(bits // 8 // dtype.itemsize, vectors, rows=6)


def description() -> str:
    """Return the processor that code is compiled for, and the width of its registers."""
    shape = register_shape(torch.float32)
    return f"{_processor()[0]}, {shape.lanes * 32}-bit vectors"


@cache
def _features() -> dict[str, bool]:
    return {"avx2": True, "fma": True} if _is_pinned() else dict(llvm.get_host_cpu_features())


def _processor() -> tuple[str, str]:
    """Return the processor that code is compiled for, and its features, in LLVM's words."""
    if _is_pinned():
        return "haswell", ""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def _is_pinned() -> bool:
    given = os.environ.get(INSTRUCTIONS, "")
    if given not in ("", "avx2"):
        raise ValueError(f"{INSTRUCTIONS} must be avx2 or unset, not '{given}'")
    return given == "avx2"


class Library:
    """Compiled functions of one module, callable with the address of their arguments.

    Args:
        identity: tells the code from any other that this version of the package generates.
        generate: makes the code, if it is not on disk yet.
        names: the functions.
    """

    def __init__(self, identity: str, generate: Callable[[], Code], names: tuple[str, ...]) -> None:
        machine = _machine()
        path = _cache_path(identity)
        image = _read(path)
        if image is None:
            image = _compile(_with_attributes(str(generate().module)), machine)
            _write(path, image)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(image))
        self._engine.finalize_object()
        self._addresses = {name: self._engine.get_function_address(name) for name in names}
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self._functions = {name: kind(place) for name, place in self._addresses.items()}

    def call(self, name: str, calls: Sequence[Arguments]) -> None:
        """Call a function for each list of arguments, on a thread each; other Python threads run.

        The threads are torch's own, which wait for work without sleeping and would otherwise take
        the processor from any others; where torch's OpenMP is not found, they are Python's.
        """
        function = self._functions[name]
        if len(calls) == 1:
            function(calls[0])
            return
        openmp = _openmp()
        if openmp is None:
            list(_pool().map(function, calls))
            return
        address = self._addresses[name]
        team = [len(calls), address, *openmp.numbers, *map(ctypes.addressof, calls)]
        openmp.parallel(self._addresses["team"], block(team), len(calls), 0)


Arguments: TypeAlias = "ctypes.Array[ctypes.c_int64]"
"""Of one call, each an integer or an address."""


def block(arguments: Sequence[int]) -> Arguments:
    """Return arguments where a function reads them."""
    return (ctypes.c_int64 * len(arguments))(*arguments)


def define_team(code: Code) -> None:
    """Define ``team``, what each thread of an OpenMP team runs: its part of a list of calls.

    Its argument is the address of the number of calls, the function, OpenMP's functions for the
    number of this thread and of all threads, and the calls' arguments.
    """
    body = code.function("team", [POINTER], public=True)
    data = body.function.args[0]
    count = body.load_int(data, const(0))
    builder = body.builder

    def function_at(position: int, kind: ir.FunctionType) -> Value:
        return builder.inttoptr(body.load_int(data, const(position)), kind.as_pointer())

    function = function_at(1, ir.FunctionType(VOID, [POINTER]))
    numbers = [function_at(position, ir.FunctionType(ir.IntType(32), [])) for position in (2, 3)]
    first, step = (builder.sext(builder.call(number, []), INT) for number in numbers)
    with body.loop(first, count, step) as (index, _, _):
        arguments = body.load_pointer(data, body.plus(index, const(4)))
        builder.call(function, [arguments])
    builder.ret_void()


@dataclass(frozen=True)
class OpenMP:
    """The OpenMP that torch runs on."""

    parallel: Callable[[int, ctypes.Array[ctypes.c_int64], int, int], None]
    """Run a function at an address, with an argument, on so many threads."""
    numbers: tuple[int, int]
    """Addresses of the functions for the number of this thread and of all threads of a team."""


@cache
def _openmp() -> OpenMP | None:
    for found in threadpool_info():
        if found["user_api"] == "openmp" and "torch" in Path(found["filepath"]).parts:
            library = ctypes.CDLL(found["filepath"])
            try:
                parallel = library.GOMP_parallel
                functions = (library.omp_get_thread_num, library.omp_get_num_threads)
            except AttributeError:
                continue
            parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            parallel.restype = None
            this, threads = (ctypes.cast(f, ctypes.c_void_p).value or 0 for f in functions)
            return OpenMP(parallel, (this, threads))
    return None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="seqbench")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def _with_attributes(text: str) -> str:
    # llvmlite has no way to set these on a function.
    return re.sub(r"^(define [^\n]*?)(\n\{)", r"\1 #0\2", text, flags=re.MULTILINE) + (
        ATTRIBUTES % ("none" if _is_pinned() else "vec-divf")
    )


def _machine() -> llvm.TargetMachine:
    _initialize()
    target = llvm.Target.from_default_triple()
    name, features = _processor()
    return target.create_target_machine(cpu=name, features=features, opt=3, jit=True)


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _compile(text: str, machine: llvm.TargetMachine) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        module, llvm.create_pass_builder(machine, options)
    )
    return machine.emit_object(module)  # type: ignore[no-any-return]


def _cache_path(identity: str) -> Path | None:
    """Where machine code is kept: by what it is, what generates it, the machine, the compiler."""
    parts = (identity, _generator(), *_processor(), llvm.get_default_triple(), llvmlite.__version__)
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    folder = cache_folder()
    return None if folder is None else folder / f"{name}.o"


@cache
def _generator() -> str:
    files = sorted(Path(__file__).parents[1].rglob("*.py"))  # the graphs are part of it
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def cache_folder() -> Path | None:
    """Return where compiled cells are kept: ``$SEQBENCH_CACHE``, or the user's cache folder.

    None if there is neither; each process then compiles for itself.
    """
    given = os.environ.get("SEQBENCH_CACHE")
    try:
        return (Path(given).expanduser() if given else user_cache_path("seqbench")) / "cells"
    except RuntimeError:  # a user without a home
        return None


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, image = content[:32], content[32:]
    return image if hashlib.sha256(image).digest() == checksum else None


def _write(path: Path | None, image: bytes) -> None:
    """Keep machine code; several processes may do so at once, and a full disk is no failure."""
    if path is None:
        return
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            partial = file.name
            file.write(hashlib.sha256(image).digest() + image)
        os.replace(partial, path)
    except OSError:
        if partial is not None:
            with suppress(OSError):
                os.unlink(partial)
