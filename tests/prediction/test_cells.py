"""Whether cells and their gradients are those of a loop over the steps, as anybody would write it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rudder_lrp.lstm import Structure, constrain_
from rudder_lrp.prediction.cells import minimal_states, scan


@pytest.mark.parametrize("steps", [1, 2, 37])
def test_the_scan_and_its_gradient_equal_those_of_the_loop(steps) -> None:
    f = torch.rand(2, steps, 3, dtype=torch.float64, requires_grad=True)
    written = torch.randn(2, steps, 3, dtype=torch.float64, requires_grad=True)
    cells = [torch.zeros(2, 3, dtype=torch.float64)]
    for t in range(steps):
        cells.append(f[:, t] * cells[-1] + written[:, t])
    loop, fast = torch.stack(cells[1:], 1), scan(f, written)
    weight = torch.randn_like(loop)
    torch.testing.assert_close(fast, loop, rtol=0, atol=1e-12)
    for one, two in zip(*(torch.autograd.grad(c, (f, written), weight) for c in (fast, loop)), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def looped(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """Hidden states by an `nn.LSTMCell` of the same weights."""
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size, dtype=inputs.dtype)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {name: lstm.get_parameter(f"{name}_l0") for name in names}
    state = (torch.zeros(len(inputs), lstm.hidden_size, dtype=inputs.dtype),) * 2
    states = []
    for t in range(inputs.shape[1]):
        state = torch.func.functional_call(cell, weights, (inputs[:, t], state))
        states.append(state[0])
    return torch.stack(states, 1)


@pytest.mark.parametrize("steps", [1, 2, 37])
def test_minimal_states_and_their_gradients_equal_those_of_a_loop_over_the_steps(steps) -> None:
    torch.manual_seed(steps)
    lstm = nn.LSTM(5, 8, batch_first=True, dtype=torch.float64)
    constrain_(lstm, Structure.MINIMAL)
    inputs = torch.randn(3, steps, 5, dtype=torch.float64, requires_grad=True)
    weights = [inputs, *(lstm.get_parameter(name) for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"))]
    fast, loop = minimal_states(lstm, inputs), looped(lstm, inputs)
    torch.testing.assert_close(fast, loop, rtol=0, atol=1e-13)
    mixed = torch.randn_like(loop)
    for one, two in zip(*(torch.autograd.grad(h, weights, mixed) for h in (fast, loop)), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
