"""What is timed, and in which turns; no test here says how long anything takes."""

from __future__ import annotations

import pytest
import torch

from seqbench.api import Example, InputSpec, Model, OutputSpec, Visibility
from seqbench.nn.backends.cpu.step import CPUStep
from seqbench.plugins.attention_lstm import AttentionLSTM
from seqbench.plugins.bilstm import BiLSTM
from seqbench.plugins.gru import GRU
from seqbench.plugins.lstm import LSTM
from seqbench.testing import make_predictor
from seqbench.training import latency
from seqbench.training.latency import BLOCKS, FEWEST, Run, interleaved, make_ready, median_inputs
from seqbench.training.predictor import Predictor
from seqbench.training.streaming import Stream

F, H = 5, 7


def predictor_of(model: type[Model], **parameters: object) -> Predictor:
    parameters = {"hidden_size": H, **parameters}
    made = make_predictor(model, parameters, InputSpec(F), OutputSpec(3), Visibility.STEP)
    return made.float().eval()


def examples(*lengths: int) -> list[Example]:
    return [Example(torch.randn(n, F), torch.zeros(n, dtype=torch.long)) for n in lengths]


def test_the_sequence_of_median_length() -> None:
    given = examples(9, 2, 4)
    inputs = median_inputs(given)
    assert torch.equal(given[2].values[None], inputs.values)
    assert [4] == inputs.lengths.tolist()


@pytest.mark.parametrize("model", [LSTM, GRU])
def test_a_stream_runs_its_cells_alone(model: type[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    """So many steps, from the start again where the sequence ends; never the whole predictor."""
    predictor = predictor_of(model, num_layers=2)
    inputs = median_inputs(examples(4))
    with torch.inference_mode():
        expected = predictor.model(predictor.scaled(inputs)).forward_steps[0]
    seen: list[torch.Tensor] = []
    advance = Stream.advance

    def watched(stream: Stream, values: torch.Tensor, states: object) -> object:
        assert all(isinstance(step, CPUStep) for step in stream._steps)
        after = advance(stream, values, states)  # type: ignore[arg-type]
        seen.append(after[-1][0][0])
        return after

    monkeypatch.setattr(Stream, "advance", watched)
    monkeypatch.setattr(predictor, "forward", lambda *_: pytest.fail("it ran as a whole"))
    found = make_ready(predictor, inputs)
    assert found.streams
    found.copies[0](6)
    torch.testing.assert_close(torch.cat([expected, expected[:2]]), torch.stack(seen))


def test_copies_of_a_stream_lie_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its weights lie makes a difference; a large model has fewer copies."""
    used: list[Stream] = []
    advance = Stream.advance

    def watched(stream: Stream, values: torch.Tensor, states: object) -> object:
        used.append(stream)
        return advance(stream, values, states)  # type: ignore[arg-type]

    monkeypatch.setattr(Stream, "advance", watched)
    found = make_ready(predictor_of(LSTM), median_inputs(examples(4)))
    for run in found.copies:
        run(2)
    assert 8 == len(found.copies) == len(set(used))
    monkeypatch.setattr(latency, "_BYTES", 10)
    assert 1 == len(make_ready(predictor_of(LSTM), median_inputs(examples(4))).copies)


@pytest.mark.parametrize("model", [BiLSTM, AttentionLSTM])
def test_what_does_not_stream_encodes_the_sequence(model: type[Model]) -> None:
    predictor = predictor_of(model)
    calls = []
    predictor.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].values.shape))
    found = make_ready(predictor, median_inputs(examples(4)))
    assert not found.streams
    (encode,) = found.copies
    encode(3)
    assert [(1, 4, F)] * 3 == calls


def test_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a turn in every block, who begins changes, and the fastest burst counts."""
    now = [0.0]
    order: list[str] = []
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])

    def running(name: str, seconds: float) -> Run:
        calls = [0]

        def run(times: int) -> None:
            calls[0] += 1
            interrupted = 7.0 * seconds * (calls[0] % 3 != 0)  # two of three bursts
            now[0] += times * seconds + interrupted
            order.append(name)

        return run

    a, b = interleaved([[running("a", 1e-4), running("A", 2e-4)], [running("b", 3e-4)]], "cpu", 4)
    assert [1e-4, 2e-4, 1e-4, 2e-4] == pytest.approx(a)
    assert [3e-4] * 4 == pytest.approx(b)
    turns = [name for at, name in enumerate(order[8:], 8) if name != order[at - 1] or at == 8]
    assert ["a", "b", "A", "a", "b", "A"] == turns  # a b | b A | a b | b A


def test_slow_models_have_fewer_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])

    def run(times: int) -> None:
        now[0] += times * 0.4

    (found,) = interleaved([[run]], "cpu")
    assert [0.4] * FEWEST == pytest.approx(found)
    assert FEWEST < BLOCKS
