"""Random models and inputs in float64 for the tests of LRP."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from rudder_lrp.lstm import gate_rows

KINDS = ("standard", "no recurrent cell input", "no recurrence")


def random_lstm(kind: str = "standard", seed: int = 0, **options: object) -> nn.LSTM:
    """An LSTM whose recurrent weights into the cell input, or all of them, are zero on demand."""
    torch.manual_seed(seed)
    lstm = nn.LSTM(**{"batch_first": True, "dtype": torch.float64, **options})
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            weight.uniform_(-1.0, 1.0)
            if name.startswith("weight_hh") and kind != "standard":
                weight[gate_rows(lstm.hidden_size)[2] if kind == KINDS[1] else slice(None)] = 0.0
    return lstm


def random_readout(lstm: nn.LSTM, outputs: int = 3) -> nn.Linear:
    return nn.Linear(lstm.hidden_size * (2 if lstm.bidirectional else 1), outputs, dtype=torch.float64)


def random_inputs(lstm: nn.LSTM, batch: int, steps: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, lstm.input_size, dtype=torch.float64, generator=generator)


def random_state(lstm: nn.LSTM, batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (lstm.num_layers * (2 if lstm.bidirectional else 1), batch, lstm.hidden_size)
    h, c = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    return h, c


architectures = st.fixed_dictionaries(
    {
        "input_size": st.integers(1, 4),
        "hidden_size": st.integers(1, 5),
        "num_layers": st.integers(1, 3),
        "bidirectional": st.booleans(),
        "bias": st.booleans(),
        "seed": st.integers(0, 10_000),
    }
)
lengths_of_batches = st.lists(st.integers(1, 8), min_size=1, max_size=4)
