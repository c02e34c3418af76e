"""GRU-D."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqbench.api import InputSpec, OutputSpec, SequenceInput, Visibility
from seqbench.nn import zero_padding
from seqbench.plugins.grud import GRUD
from seqbench.testing import check_model, check_visibility, make_predictor


@pytest.fixture
def irregular() -> SequenceInput:
    """Four ragged sequences of 3 features in float64, two of three measurements missing."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    observed = torch.rand(4, 7, 3, generator=generator) < 1 / 3
    delta = 3 * torch.rand(4, 7, 3, generator=generator, dtype=torch.float64)
    inputs = SequenceInput(values, torch.tensor([7, 1, 4, 6]), observed, delta)
    return inputs.with_values(zero_padding(values, inputs.mask))


def random_model(**parameters: object) -> GRUD:
    """Return a model whose every weight is random: decays grow, shrink and stay away."""
    torch.manual_seed(0)
    model = GRUD(3, "past", hidden_size=4, **parameters).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.5)
    return model


def paper(model: GRUD, x: Tensor, m: Tensor, d: Tensor) -> Tensor:
    """Return the hidden states of one sequence, number by number, by the paper's equations."""
    size = model.forward_size

    def rows(weight: Tensor, gate: int) -> Tensor:
        return weight[gate * size : (gate + 1) * size]

    h = torch.zeros(size, dtype=torch.float64)
    states = []
    for t in range(len(x)):
        x_hat = torch.zeros(3, dtype=torch.float64)
        for i in range(3):
            exponent = float(model.input_decay[i] * d[t, i] + model.input_decay_bias[i])
            decay = math.exp(-max(0.0, exponent))
            mean = 0.0  # of standardised values
            x_hat[i] = x[t, i] if m[t, i] else decay * x[t, i] + (1 - decay) * mean
        for j in range(size):
            exponent = float(model.hidden_decay[j] @ d[t] + model.hidden_decay_bias[j])
            h[j] = math.exp(-max(0.0, exponent)) * h[j]
        seen = m[t].double()
        r, z = (
            torch.sigmoid(
                rows(model.weight_ih, gate) @ x_hat
                + rows(model.weight_hh, gate) @ h
                + rows(model.weight_mh, gate) @ seen
                + rows(model.bias, gate)
            )
            for gate in (0, 1)
        )
        candidate = torch.tanh(
            rows(model.weight_ih, 2) @ x_hat
            + rows(model.weight_hh, 2) @ (r * h)
            + rows(model.weight_mh, 2) @ seen
            + rows(model.bias, 2)
        )
        h = (1 - z) * h + z * candidate
        states.append(h.clone())
    return torch.stack(states)


@pytest.mark.parametrize("elapsed", ["linear", "log"])
def test_keeps_the_contract_of_models(elapsed: str) -> None:
    check_model(GRUD, hidden_size=4, elapsed=elapsed)


@pytest.mark.parametrize("visibility", list(Visibility))
def test_sees_nothing_that_is_hidden_where_values_are_missing(
    visibility: Visibility, irregular: SequenceInput
) -> None:
    spec = InputSpec(3, missing=True)
    predictor = make_predictor(GRUD, {"hidden_size": 4}, spec, OutputSpec(2), visibility)
    check_visibility(predictor, irregular)


@pytest.mark.parametrize("elapsed", ["linear", "log"])
def test_equals_the_papers_equations(elapsed: str, irregular: SequenceInput) -> None:
    model = random_model(elapsed=elapsed).eval()
    assert irregular.observed is not None
    assert irregular.delta is not None
    with torch.no_grad():
        encoding = model(irregular)
        for row, length in enumerate(irregular.lengths.tolist()):
            delta = irregular.delta[row, :length]
            expected = paper(
                model,
                irregular.values[row, :length],
                irregular.observed[row, :length],
                torch.log(1 + delta) if elapsed == "log" else delta,
            )
            torch.testing.assert_close(
                expected, encoding.forward_steps[row, :length], rtol=0, atol=1e-12
            )
            torch.testing.assert_close(expected[-1], encoding.final[row], rtol=0, atol=1e-12)
            assert not encoding.forward_steps[row, length:].any()


def test_without_missingness_everything_is_measured_one_unit_of_time_ago(
    irregular: SequenceInput,
) -> None:
    model = random_model().eval()
    ones = torch.ones_like(irregular.values)
    given = SequenceInput(irregular.values, irregular.lengths, ones.bool(), ones)
    without = SequenceInput(irregular.values, irregular.lengths)
    with torch.no_grad():
        assert torch.equal(model(given).forward_steps, model(without).forward_steps)


def test_what_was_not_measured_for_long_is_forgotten() -> None:
    """A value that is missing fades to the mean, 0; one that is measured does not."""
    model = random_model(elapsed="linear").eval()
    with torch.no_grad():
        model.input_decay.fill_(1.0)
        model.hidden_decay.fill_(1.0)
        value = torch.full((1, 1, 3), 2.0, dtype=torch.float64)
        long_ago = torch.full_like(value, 1000.0)
        no, yes = torch.zeros(1, 1, 3).bool(), torch.ones(1, 1, 3).bool()
        one = torch.tensor([1])

        def final(x: Tensor, measured: Tensor, delta: Tensor) -> Tensor:
            return model(SequenceInput(x, one, measured, delta)).final

        assert torch.equal(final(0 * value, no, long_ago), final(value, no, long_ago))
        assert not torch.allclose(final(value, no, 0 * long_ago), final(value, no, long_ago))
        assert not torch.allclose(final(0 * value, yes, long_ago), final(value, yes, long_ago))


def test_every_decay_starts_alive(irregular: SequenceInput) -> None:
    """No decay begins where max(0, .) has no gradient, and none forgets much in a unit of time."""
    torch.manual_seed(0)
    model = GRUD(3, "past", hidden_size=4).double()
    model(irregular).forward_steps.square().sum().backward()
    for decay in (model.input_decay, model.hidden_decay):
        assert decay.grad is not None
        assert bool((decay.grad != 0).all())
    assert float(model.hidden_decay.detach().sum(dim=1).max()) <= 0.2


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e6])
def test_any_unit_of_time_leaves_it_something_to_remember(
    scale: float, irregular: SequenceInput
) -> None:
    """With the logarithm, the default, no unit of time makes the first epoch forget everything."""
    torch.manual_seed(0)
    model = GRUD(3, "past", hidden_size=16).double()
    assert irregular.delta is not None
    inputs = SequenceInput(
        irregular.values, irregular.lengths, irregular.observed, scale * irregular.delta
    )
    elapsed = torch.log1p(scale * irregular.delta)
    with torch.no_grad():
        kept = torch.exp(-(elapsed @ model.hidden_decay.T))
        assert float(kept.mean()) > 0.15
        assert bool(model(inputs).forward_steps.isfinite().all())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
        ({"elapsed": "logs"}, "elapsed must be linear or log, not 'logs'"),
    ],
)
def test_impossible_values_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRUD(3, "past", **parameters)
