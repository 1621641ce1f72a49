"""An independent oracle: LRP through an LSTM as an explicit list of messages between numbers, in NumPy and float64.

It shares no code with the package. Every quantity of a step is one node; what a map hands back is spelled out, one pair
of units at a time. Blocks of rows are in the order i, f, g, o, as PyTorch has them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.lrp.numpy_gru import shares, sigmoid, stable

BLOCKS = {"i": 0, "f": 1, "g": 2, "o": 3}
EMPHASIS = {"epsilon": (1.0, 1.0), "gamma": (1.0, 1.25), "z-plus": (0.0, 1.0)}
"""What negative and positive weights into the cell input count."""
ACCOUNTS = ("cell_input_bias", "gate_bias", "stabilizer", "through_gates")


class Settings(NamedTuple):
    rule: str = "all"
    eps: float = 1e-3
    linear: str = "epsilon"
    conserve: bool = False
    at_cell: bool = False
    """Whether relevance enters the cell states instead of the hidden ones."""
    closed: bool = False
    """Whether the cell's own sum goes without a stabilizer, as in closed form: what enters the cell meets one, once."""


class Layer(NamedTuple):
    """Weights `[4 H, F]`, `[4 H, H]` and `[4 H]`, and initial states `[H]`."""

    W: np.ndarray
    U: np.ndarray
    b: np.ndarray
    h_0: np.ndarray
    c_0: np.ndarray


def run(layer: Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hidden and cell states `[T + 1, H]`, the initial ones first, and pre-activations `[T, 4, H]`."""
    h, c, z = [layer.h_0], [layer.c_0], []
    for row in x:
        z.append((layer.W @ row + layer.U @ h[-1] + layer.b).reshape(4, -1))
        i, f, _, o = sigmoid(z[-1])
        c.append(f * c[-1] + i * np.tanh(z[-1][2]))
        h.append(o * np.tanh(c[-1]))
    return np.array(h), np.array(c), np.array(z)


class _Pass:
    """One layer and direction, backward in time."""

    def __init__(self, layer: Layer, x: np.ndarray, settings: Settings) -> None:
        self.layer, self.x, self.settings = layer, x, settings
        self.h, self.c, self.z = run(layer, x)
        self.R_x = np.zeros_like(x)
        self.R_h, self.R_c = np.zeros_like(layer.h_0), np.zeros_like(layer.c_0)
        self.accounts = dict.fromkeys(ACCOUNTS, 0.0)
        self.absorbed = np.zeros(len(x))

    def product(self, gate: float, signal: float, R: float) -> tuple[float, float]:
        of_gate, of_signal = shares(self.settings.rule, gate, signal, self.settings.eps)
        missing = 1 - of_gate - of_signal
        if self.settings.conserve:
            of_gate, of_signal = of_gate + missing / 2, of_signal + missing / 2
        else:
            self.accounts["stabilizer"] += missing * R
        self.accounts["through_gates"] += of_gate * R
        return of_gate * R, of_signal * R

    def cell(self, t: int, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Relevance of what is kept and of what is written, given that of their sum."""
        kept, written = np.zeros_like(R), np.zeros_like(R)
        for j, value in enumerate(self.c[t + 1]):
            unit = R[j] / (value if self.settings.closed else stable(value, self.settings.eps))
            kept[j] += sigmoid(self.z[t, 1, j]) * self.c[t, j] * unit
            written[j] += sigmoid(self.z[t, 0, j]) * np.tanh(self.z[t, 2, j]) * unit
            lost = R[j] - unit * value
            if self.settings.conserve:
                kept += lost / (2 * len(R))
                written += lost / (2 * len(R))
            else:
                self.accounts["stabilizer"] += lost
        return kept, written

    def enter(self, t: int, R: np.ndarray) -> np.ndarray:
        """What is left of relevance that enters the cell."""
        if not self.settings.closed:
            return R
        left = [part * value / stable(value, self.settings.eps) for part, value in zip(R, self.c[t + 1], strict=True)]
        self.accounts["stabilizer"] += sum(R) - sum(left)
        return np.array(left)

    def map(self, t: int, block: str, j: int, R: float) -> None:
        """From one row of the weights to all that feeds it."""
        row = BLOCKS[block] * len(self.R_h) + j
        below, above = EMPHASIS[self.settings.linear if block == "g" else "epsilon"]
        fed = [(part[row] * np.where(part[row] < 0, below, above)) for part in self.layer[:2]]
        bias = self.layer.b[row] * (below if self.layer.b[row] < 0 else above)
        value = fed[0] @ self.x[t] + fed[1] @ self.h[t] + bias
        unit = R / stable(value, self.settings.eps)
        self.R_x[t] += fed[0] * self.x[t] * unit
        self.R_h += fed[1] * self.h[t] * unit
        lost = R - unit * value
        if self.settings.conserve:
            spread = (lost + bias * unit) / (len(self.x[t]) + len(self.R_h))
            self.R_x[t] += spread
            self.R_h += spread
            return
        self.accounts["cell_input_bias" if block == "g" else "gate_bias"] += bias * unit
        self.accounts["stabilizer"] += lost
        self.absorbed[t] += bias * unit + lost

    def back(self, t: int, entering: np.ndarray) -> None:
        R_h, self.R_h = self.R_h + (0 if self.settings.at_cell else entering), np.zeros_like(self.R_h)
        R_o, R_cell = np.transpose([self.product(*args) for args in zip(self.z[t, 3], self.c[t + 1], R_h, strict=True)])
        arriving = self.enter(t, R_cell + (entering if self.settings.at_cell else 0))
        kept, written = self.cell(t, self.R_c + arriving)
        R_f, self.R_c = np.transpose([self.product(*args) for args in zip(self.z[t, 1], self.c[t], kept, strict=True)])
        R_i, R_g = np.transpose([self.product(*args) for args in zip(*self.z[t, [0, 2]], written, strict=True)])
        for block, R in (("i", R_i), ("f", R_f), ("g", R_g), ("o", R_o)):
            if block == "g" or self.settings.rule != "all":
                for j, part in enumerate(R):
                    self.map(t, block, j, part)


def explain(layer: Layer, x: np.ndarray, R_out: np.ndarray, settings: Settings) -> _Pass:
    """Relevance of `x` `[T, F]`, `h_0` and `c_0`, given that which enters the states after each step, `[T, H]`."""
    done = _Pass(layer, x, settings)
    for t in reversed(range(len(x))):
        done.back(t, R_out[t])
    return done


def layers_of(weights: dict[str, np.ndarray], h_0: np.ndarray, c_0: np.ndarray, both: bool) -> list[list[Layer]]:
    """By layer and direction, from the names that PyTorch gives the weights and states `[layers * directions, H]`."""
    ends = ["", "_reverse"][: 1 + both]
    found = []
    for at in range(len(h_0)):
        end = f"_l{at // len(ends)}{ends[at % len(ends)]}"
        none = np.zeros(len(weights["weight_ih" + end]))
        bias = weights.get("bias_ih" + end, none) + weights.get("bias_hh" + end, none)
        found.append(Layer(weights["weight_ih" + end], weights["weight_hh" + end], bias, h_0[at], c_0[at]))
    return [found[at : at + len(ends)] for at in range(0, len(found), len(ends))]


def explain_stack(
    layers: list[list[Layer]], x: np.ndarray, R_out: np.ndarray, settings: Settings
) -> tuple[np.ndarray, list[_Pass]]:
    """Relevance of `x` `[T, F]` and the passes, given relevance `[T, D * H]` of what the topmost layer returns."""
    seen, orders = [x], (slice(None), slice(None, None, -1))
    for both in layers:
        outputs = [run(layer, seen[-1][order])[0][1:][order] for layer, order in zip(both, orders, strict=False)]
        seen.append(np.concatenate(outputs, 1))
    passes: list[_Pass] = []
    for both, below in zip(layers[::-1], seen[-2::-1], strict=True):
        parts = np.split(R_out, len(both), 1)
        done = [
            explain(layer, below[order], part[order], settings)
            for layer, order, part in zip(both, orders, parts, strict=False)
        ]
        R_out = sum(one.R_x[order] for one, order in zip(done, orders, strict=False))
        settings = settings._replace(at_cell=False)
        passes = done + passes
    return R_out, passes
