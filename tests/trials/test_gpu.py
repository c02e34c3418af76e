"""What follows training happens on the GPU, too: on a stand-in, which Lightning takes for one.

A tensor "on the GPU" wraps one on the CPU. As on a GPU, an operation on tensors of two devices is
an error, and so is reading its memory; so whatever is left on the wrong side is found.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from seqbench import evaluate, load, run
from seqbench.api import MeanLoss, SequenceInput
from seqbench.nn.backends import cuda
from seqbench.training.predictor import Predictor
from seqbench.trials.loaded import StreamingModel

GPU = torch.device("cuda", 0)
ATEN = torch.ops.aten
MAY_MIX = (ATEN.copy_.default, ATEN.index.Tensor, ATEN.index_put_.default, ATEN.index_put.default)


class OnGpu(Tensor):
    """A tensor that says it is on a GPU."""

    inner: Tensor
    is_meta = False
    is_cuda = True

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGpu:
        with torch.inference_mode(False):
            made = Tensor._make_wrapper_subclass(
                cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype,
                device="meta",
            )  # fmt: skip
        made.inner = inner
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation where its tensors are, or where its device says."""
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_gpu = [leaf for leaf in leaves if isinstance(leaf, OnGpu)]
    wanted = kwargs.get("device")
    if wanted is not None and torch._C._current_autograd_node() is not None:
        wanted = GPU  # backward makes zeros like a tensor whose wrapper is on no device
    goes = bool(on_gpu) if wanted is None else torch.device(wanted).type == "cuda"
    if wanted is not None and (on_gpu or goes):
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif on_gpu and func not in MAY_MIX:
        for leaf in leaves:
            if not isinstance(leaf, OnGpu) and leaf.dim():
                raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    outer = {id(leaf.inner): leaf for leaf in on_gpu}
    unwrapped = pytree.tree_map_only(OnGpu, lambda leaf: leaf.inner, (args, kwargs))
    found = func(*unwrapped[0], **unwrapped[1])
    if func is ATEN.copy_.default:
        return args[0]
    if not goes:
        return found
    return pytree.tree_map_only(Tensor, lambda leaf: outer.get(id(leaf), OnGpu(leaf)), found)


class Gpu(TorchDispatchMode):
    """Takes what is made on the GPU, or moved there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Numbered(TorchFunctionMode):
    """Takes ``cuda`` for its first GPU, which torch asks a driver for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = pytree.tree_map(_numbered, (args, kwargs or {}))
        if func is torch.tensor and kwargs.get("device") == GPU:
            return func(*args, **{**kwargs, "device": "cpu"}).to(GPU)
        return func(*args, **kwargs)


def _numbered(leaf: object) -> object:
    return GPU if isinstance(leaf, str | torch.device) and str(leaf) == "cuda" else leaf


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give this machine a GPU."""
    constants: dict[str, object] = {
        "is_available": True, "device_count": 1, "get_device_name": "stand-in", "synchronize": None,
        "empty_cache": None, "reset_peak_memory_stats": None, "max_memory_allocated": 1024,
        "current_device": 0, "_lazy_init": None, "is_initialized": False, "set_device": None,
    }  # fmt: skip
    for name, value in constants.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, found=value, **__: found)
    lightning: dict[str, object] = {
        "is_available": True, "auto_device_count": 1, "parse_devices": [0],
        "get_parallel_devices": [GPU],
    }  # fmt: skip
    for name, value in lightning.items():
        monkeypatch.setattr(CUDAAccelerator, name, staticmethod(lambda *_, found=value: found))
    monkeypatch.setattr(cuda, "check_tensors", lambda *_: None)  # takes no other class of tensors
    for name in ("setup_device", "setup", "teardown"):
        monkeypatch.setattr(CUDAAccelerator, name, lambda *_: None)
    with Numbered(), Gpu():
        yield


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return where predictors compute from now on, each time that one does."""
    found: list[str] = []
    forward = Predictor.forward

    def watched(predictor: Predictor, inputs: SequenceInput) -> Tensor:
        found.append(inputs.values.device.type)
        return forward(predictor, inputs)

    monkeypatch.setattr(Predictor, "forward", watched)
    return found


@pytest.fixture
def metric_devices(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return where metrics are given their numbers from now on."""
    found: set[str] = set()
    update = MeanLoss.update

    def watched(metrics: MeanLoss, *tensors: Tensor) -> None:
        found.update(tensor.device.type for tensor in tensors)
        update(metrics, *tensors)

    monkeypatch.setattr(MeanLoss, "update", watched)
    return found


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return a small trial, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    pieces = [[[60 + i, 64, 67, 72]] * (4 + i) for i in range(6)]
    parts = {"train": pieces[:2], "valid": pieces[2:4], "test": pieces[4:]}
    Path("rolls.pkl").write_bytes(pickle.dumps(parts))
    return {
        "task": "music", "task.source": "rolls.pkl", "model": "lstm", "model.hidden_size": 3,
        "recipe.max_epochs": 2, "trainer.progress": False,
    }  # fmt: skip


@pytest.mark.usefixtures("gpu")
def test_stand_in() -> None:
    """It is as strict as a GPU."""
    layer, values = torch.nn.Linear(3, 2).to("cuda"), torch.randn(4, 3)
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        layer(values)
    layer(values.to("cuda")).sum().backward()
    assert layer.weight.grad is not None
    assert GPU == layer.weight.grad.device
    assert "cpu" == layer.cpu()(values).device.type


@pytest.mark.usefixtures("gpu")
def test_all_that_follows_training(
    words: dict[str, object], devices: list[str], metric_devices: set[str]
) -> None:
    """Scores, latencies, the back end and outputs, though Lightning moves the model away."""
    trained = run(**words, trainer="gpu").record
    assert {"cuda"} == set(devices)
    assert "cuda" == trained.backend
    assert "stand-in" == trained.environment["device"]
    assert {"step_seconds", "sequence_seconds"} <= set(trained.costs)
    assert {"cpu"} == metric_devices
    score = pytest.approx(trained.metrics["test/nll"], rel=1e-5)

    for accelerator, device in (("auto", "cuda"), ("gpu", "cuda"), ("cpu", "cpu")):
        devices.clear()
        again = evaluate(trained.run_id, accelerator=accelerator).record
        assert {device} == set(devices)
        assert device == again.backend
        assert score == again.metrics["test/nll"]

        devices.clear()
        model = load(trained.run_id, accelerator=accelerator)
        assert isinstance(model, StreamingModel)
        assert score == model.score()["nll"]
        assert score == model.score(source="rolls.pkl")["nll"]
        found = model.predict(torch.zeros(3, 88))
        assert "cpu" == found.device.type
        assert {device} == set(devices)
        _, state = model.step(torch.zeros(88))
        one, _ = model.step(torch.zeros(88), state)
        assert device == state[0][0].device.type
        torch.testing.assert_close(one, found[2])


def test_same_numbers_as_on_a_cpu(words: dict[str, object], request: pytest.FixtureRequest) -> None:
    words["tracking"] = "none"
    expected = run(**words).record.metrics["test/nll"]
    request.getfixturevalue("gpu")
    found = run(**words, trainer="gpu").record.metrics["test/nll"]
    assert pytest.approx(expected, rel=1e-4) == found
