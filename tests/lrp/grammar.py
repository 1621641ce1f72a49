"""Models of all that a `forward` may be made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rudder_lrp.lrp import LRP


class Function(nn.Module):
    """A model whose `forward` is a function of itself and its inputs."""

    def __init__(self, forward, **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)
        self.double()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(self, *inputs)


def inputs(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def balanced(model: nn.Module, x, target=None, **options) -> tuple[Tensor, object]:
    """Explain, and check that the ledger sums to the model's own output."""
    relevance, ledger = LRP(model, **options).attribute(x, target, return_ledger=True)
    y = model.eval()(*x) if isinstance(x, tuple) else model.eval()(x)
    y = (
        y[:, 0]
        if target is None and y.ndim == 2
        else y
        if target is None
        else y[(slice(None), *torch.atleast_1d(torch.as_tensor(target)).tolist())]
    )
    torch.testing.assert_close(ledger.total(), y, rtol=0, atol=1e-8)
    plain = LRP(model, **options).attribute(x, target)
    torch.testing.assert_close(plain, relevance, rtol=0, atol=1e-9)
    return relevance, ledger


GRAMMAR = {
    "residual": lambda m, x: m.head((x + torch.tanh(m.mix(x))).mean(1)),
    "difference": lambda m, x: m.head((x - 0.5 * m.mix(x)).sum(1)),
    "joined": lambda m, x: m.wide(torch.cat([x.mean(1), x[:, -1]], 1)),
    "joined with a constant": lambda m, x: m.wide(torch.cat([x.mean(1), torch.ones_like(x[:, 0])], 1)),
    "gate and its opposite": lambda m, x: m.head(
        (torch.sigmoid(m.mix(x)) * x + (1 - torch.sigmoid(m.mix(x))) * x**2).mean(1)
    ),
    "two signals": lambda m, x: m.head((torch.tanh(m.mix(x)) * x).mean(1)),
    "attention by matrices": lambda m, x: m.head((torch.softmax(x @ x.transpose(1, 2) / 2, 2) @ m.mix(x)).mean(1)),
    "attention by einsum": lambda m, x: m.head(
        torch.einsum("bts,bsf->btf", torch.softmax(m.mix(x) @ x.mT, 2), x).sum(1)
    ),
    "softmax by hand": lambda m, x: m.head((m.score(x).exp() / m.score(x).exp().sum(1, keepdim=True) * x).sum(1)),
    "in place": lambda m, x: m.head(torch.relu_(m.mix(x)).mul_(0.5).add_(1.0).mean(1)),
    "assigned": lambda m, x: m.head(assigned(m.mix(x), x)),
    "padded with a number": lambda m, x: m.head(nn.functional.pad(m.mix(x), (0, 0, 1, 0), value=0.7).sum(1)),
    "masked by a number": lambda m, x: m.head(m.mix(x).masked_fill(x > 0.5, 0.3).sum(1)),
    "chosen": lambda m, x: m.head(torch.where(x > 0, x, 0.1 * m.mix(x)).mean(1)),
    "convolution": lambda m, x: m.head(nn.functional.gelu(m.conv(x.transpose(1, 2))).amax(2)),
    "convolution and norm": lambda m, x: m.head(nn.functional.leaky_relu(m.batch(m.conv(x.mT))).mean(2)),
    "control by data": lambda m, x: m.head((x if float(x.sum()) > 0 else m.mix(x)).mean(1)),
    "loop over steps": lambda m, x: m.head(sum(torch.tanh(part) for part in x.transpose(0, 1))),
    "learned vector": lambda m, x: m.head((x + m.score.weight).mean(1)),
    "shared layer": lambda m, x: m.head(m.mix(torch.relu(m.mix(x))).mean(1)),
    "state from inputs": lambda m, x: m.head(m.core(x, m.mix(x[:, 0])[None].contiguous())[0].mean(1)),
    "states of all layers": lambda m, x: m.head(m.deep(x)[1].mean(0)),
    "cell states": lambda m, x: m.head(m.lstm(x)[1][1][0]),
    "time first": lambda m, x: m.head(m.late(x.transpose(0, 1).contiguous())[0].mean(0)),
    "flat": lambda m, x: m.head(m.norm(x.reshape(-1, 3)).view(len(x), -1, 3).mean(1)),
}


def assigned(mixed: Tensor, x: Tensor) -> Tensor:
    buffer = torch.zeros_like(mixed)
    buffer[:, 0] = x[:, 0]
    buffer[:, 1:] = mixed[:, 1:]
    return buffer.sum(1)


def grammar_model(forward, seed: int = 0) -> Function:
    torch.manual_seed(seed)
    layers = {"head": nn.Linear(3, 2), "wide": nn.Linear(6, 2), "mix": nn.Linear(3, 3), "score": nn.Linear(3, 1)}
    recurrent = {
        "core": nn.GRU(3, 3, batch_first=True),
        "deep": nn.GRU(3, 3, 3, batch_first=True),
        "lstm": nn.LSTM(3, 3, batch_first=True),
        "late": nn.LSTM(3, 3),
    }
    other = {"conv": nn.Conv1d(3, 3, 2, padding=1), "batch": nn.BatchNorm1d(3), "norm": nn.LayerNorm(3)}
    return Function(forward, **layers, **recurrent, **other)
