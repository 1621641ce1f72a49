"""From nothing to a picture: train an LSTM on a sum of marked numbers, and see which steps LRP says it read.

python docs/tutorials/explain_an_lstm.py [FOLDER OF THE PICTURE]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

from rudder_lrp.lrp import LRP
from rudder_lrp.lstm import Structure, constrain_

torch.manual_seed(0)
torch.set_num_threads(1)

# Sequences of 12 numbers, three of them marked. The target is the sum of the marked ones.
numbers = torch.empty(512, 12).uniform_(-1.0, 1.0)
marks = torch.zeros(512, 12).scatter_(1, torch.rand(512, 12).argsort(dim=1)[:, :3], 1.0)
inputs, targets = torch.stack([numbers * marks, numbers, marks], dim=2), (numbers * marks).sum(dim=1)

# A Markov LSTM: no relevance leaks on the way, so what LRP says of the steps sums to the prediction.
lstm, readout = nn.LSTM(3, 16, batch_first=True), nn.Linear(16, 1)
constrain_(lstm, Structure.MARKOV)
optimizer = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], lr=1e-2)
for _ in range(400):
    loss = nn.functional.mse_loss(readout(lstm(inputs)[0][:, -1])[:, 0], targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    constrain_(lstm, Structure.MARKOV)

explanation = LRP(lstm, readout).explain(inputs[:8])
relevance = explanation.steps.detach()
deserved = (numbers * marks)[:8]
correlation = torch.corrcoef(torch.stack([relevance.flatten(), deserved.flatten()]))[0, 1]
print(f"mean squared error {loss.item():.4f}; correlation of relevance and deserved credit {correlation:.3f}")

figure, axes = plt.subplots(2, 1, figsize=(6, 4), sharex=True, layout="constrained")
for axis, values, title in zip(axes, (deserved, relevance), ("what each step deserves", "what LRP says"), strict=True):
    axis.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axis.set_title(title)
    axis.set_ylabel("sequence")
axes[1].set_xlabel("step")
figure.savefig(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures") / "tutorial_explain.png", dpi=120)
