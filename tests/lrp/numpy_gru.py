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


def explain(W, U, b, b_recurrent, x, h_0, R_out, rule: str, eps: float) -> dict[str, np.ndarray | float]:
    """Relevance of `x` `[T, F]` and `h_0` `[H]`, what biases and stabilizers absorbed, and what gates were handed."""
    T, F = x.shape
    H = len(h_0)
    states, traces = [h_0], []
    for t in range(T):
        pre = W @ x[t] + b
        rec = U @ states[-1] + b_recurrent
        z_r, z_z = pre[:H] + rec[:H], pre[H : 2 * H] + rec[H : 2 * H]
        z_n = pre[2 * H :] + sigmoid(z_r) * rec[2 * H :]
        states.append((1 - sigmoid(z_z)) * np.tanh(z_n) + sigmoid(z_z) * states[-1])
        traces.append((z_r, z_z, rec[2 * H :], z_n))
    R_x, R_h, bias, lost, gates = np.zeros_like(x), np.zeros(H), 0.0, 0.0, 0.0
    for t in reversed(range(T)):
        z_r, z_z, m, z_n = traces[t]
        h, after, arriving, R_h = states[t], states[t + 1], R_h + R_out[t], np.zeros(H)
        for j in range(H):
            z, r = sigmoid(z_z[j]), sigmoid(z_r[j])
            written, kept = (1 - z) * np.tanh(z_n[j]), z * h[j]
            R_written = written / stable(after[j], eps) * arriving[j]
            R_kept = kept / stable(after[j], eps) * arriving[j]
            lost += arriving[j] - R_written - R_kept
            to_open, to_h = shares(rule, z_z[j], h[j], eps)
            to_close, to_n = shares(rule, -z_z[j], z_n[j], eps)
            R_h[j] += to_h * R_kept
            R_z, R_n = to_open * R_kept + to_close * R_written, to_n * R_written
            lost += (1 - to_open - to_h) * R_kept + (1 - to_close - to_n) * R_written
            unit = R_n / stable(z_n[j], eps)
            lost += R_n - unit * z_n[j]
            for k in range(F):
                R_x[t, k] += W[2 * H + j, k] * x[t, k] * unit
            bias += b[2 * H + j] * unit
            to_r, to_m = shares(rule, z_r[j], m[j], eps)
            R_product = r * m[j] * unit
            lost += (1 - to_r - to_m) * R_product
            for k in range(H):
                R_h[k] += to_m * unit * r * U[2 * H + j, k] * h[k]
            bias += to_m * unit * r * b_recurrent[2 * H + j]
            gates += to_r * R_product + R_z
            for row, value, R_gate in ((j, z_r[j], to_r * R_product), (H + j, z_z[j], R_z)):
                unit_gate = R_gate / stable(value, eps)
                lost += R_gate - unit_gate * value
                for k in range(F):
                    R_x[t, k] += W[row, k] * x[t, k] * unit_gate
                for k in range(H):
                    R_h[k] += U[row, k] * h[k] * unit_gate
                bias += (b[row] + b_recurrent[row]) * unit_gate
    return {"x": R_x, "h_0": R_h, "bias": bias, "lost": lost, "gates": gates}
