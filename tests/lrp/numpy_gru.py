"""An independent oracle: LRP through a GRU as an explicit list of messages between numbers, in NumPy and float64.

It shares no code with the package. Every quantity of a step is one node; every message from a node to another is
spelled out, one pair of units at a time.
"""

from __future__ import annotations

import numpy as np


def stable(value: float, eps: float) -> float:
    return value + (eps if value >= 0 else -eps)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-values))


def shares(rule: str, gate: float, signal: float, eps: float) -> tuple[float, float]:
    if rule == "all":
        return 0.0, 1.0
    if rule == "half":
        return 0.5, 0.5
    if rule == "prop":
        return gate / stable(gate + signal, eps), signal / stable(gate + signal, eps)
    size = abs(gate) + abs(signal) + eps
    return abs(gate) / size, abs(signal) / size


def run(W, U, b, b_recurrent, x, h_0) -> tuple[list[np.ndarray], list[tuple[np.ndarray, ...]]]:
    """The states `[H]`, the first one included, and of each step what its gates and its candidate are made of."""
    H = len(h_0)
    states, traces = [h_0], []
    for seen in x:
        pre = W @ seen + b
        rec = U @ states[-1] + b_recurrent
        z_r, z_z = pre[:H] + rec[:H], pre[H : 2 * H] + rec[H : 2 * H]
        z_n = pre[2 * H :] + sigmoid(z_r) * rec[2 * H :]
        states.append((1 - sigmoid(z_z)) * np.tanh(z_n) + sigmoid(z_z) * states[-1])
        traces.append((z_r, z_z, rec[2 * H :], z_n))
    return states, traces


def explain(W, U, b, b_recurrent, x, h_0, R_out, rule: str, eps: float) -> dict[str, np.ndarray | float]:
    """Relevance of `x` `[T, F]` and `h_0` `[H]`, what biases and stabilizers absorbed, and what gates were handed."""
    states, traces = run(W, U, b, b_recurrent, x, h_0)
    H, R_h = len(h_0), np.zeros(len(h_0))
    told = {"x": np.zeros_like(x), "bias": 0.0, "lost": 0.0, "gates": 0.0}
    for t in reversed(range(len(x))):
        z_r, z_z, m, z_n = traces[t]
        arriving, R_h = R_h + R_out[t], np.zeros(H)
        for j in range(H):
            of_unit = (z_r[j], z_z[j], m[j], z_n[j], states[t + 1][j], arriving[j])
            explain_unit(j, of_unit, W, U, b, b_recurrent, x[t], states[t], rule, eps, told["x"][t], R_h, told)
    return told | {"h_0": R_h}


def explain_unit(j, of_unit, W, U, b, b_recurrent, x, h, rule, eps, R_x, R_h, told) -> None:
    """What one unit of a step hands to the inputs `R_x` `[F]`, the states before it `R_h` `[H]`, and the ledger."""
    (z_r, z_z, m, z_n, after, arriving), H = of_unit, len(h)
    z, r = sigmoid(z_z), sigmoid(z_r)
    written, kept = (1 - z) * np.tanh(z_n), z * h[j]
    R_written, R_kept = written / stable(after, eps) * arriving, kept / stable(after, eps) * arriving
    told["lost"] += arriving - R_written - R_kept
    to_open, to_h = shares(rule, z_z, h[j], eps)
    to_close, to_n = shares(rule, -z_z, z_n, eps)
    R_h[j] += to_h * R_kept
    R_z, R_n = to_open * R_kept + to_close * R_written, to_n * R_written
    told["lost"] += (1 - to_open - to_h) * R_kept + (1 - to_close - to_n) * R_written
    unit = R_n / stable(z_n, eps)
    told["lost"] += R_n - unit * z_n
    through_product(unit, W[2 * H + j], x, R_x)
    told["bias"] += b[2 * H + j] * unit
    to_r, to_m = shares(rule, z_r, m, eps)
    R_product = r * m * unit
    told["lost"] += (1 - to_r - to_m) * R_product
    through_product(to_m * unit * r, U[2 * H + j], h, R_h)
    told["bias"] += to_m * unit * r * b_recurrent[2 * H + j]
    told["gates"] += to_r * R_product + R_z
    for row, value, R_gate in ((j, z_r, to_r * R_product), (H + j, z_z, R_z)):
        unit_gate = R_gate / stable(value, eps)
        told["lost"] += R_gate - unit_gate * value
        through_product(unit_gate, W[row], x, R_x)
        through_product(unit_gate, U[row], h, R_h)
        told["bias"] += (b[row] + b_recurrent[row]) * unit_gate


def through_product(unit: float, weights, values, relevance) -> None:
    for k in range(len(values)):
        relevance[k] += weights[k] * values[k] * unit
