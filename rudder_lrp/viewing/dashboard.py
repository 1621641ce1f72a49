"""What TensorBoard says beside the numbers: how to read them, which belong together, what a run was made with."""

from __future__ import annotations

from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter

GUIDE = """
# How to read this

**Does it learn?** `rollout/ep_rew_mean` is the *true* return of the latest episodes, never the redistributed one. Runs
with and without credit stand in the same chart.

**Is the credit to be trusted?** `credit/explained_variance`: how much of what comes late the predictor explains on
episodes it was not trained on. 1 is all, 0 is no better than the mean. `credit/q` is the weight of the redistributed
reward in what the agent gets; the rest is the environment's own reward.

**Where did the reward go?** `credit/steps_moved_back`: by how many steps the reward moved towards the beginning.
`credit/residual` is what the prediction missed of the return, left to the last step: it should be small beside
`credit/true_return`. `credit/relevance_leak` should be near 0.

**Why?** The pictures under *Images* show single episodes, from the worst to the best of the latest held-out ones: what
the environment paid, what the agent is handed out (both sum to the return) with its error bars, the return predicted
after each step, and which features the credit of each step comes from. The columns of that map sum to the credit above.

**When it does not help.** `explained_variance` stays near 0: the return cannot be told from what is seen, or there
are too few episodes yet. It is near 1, but `steps_moved_back` stays near 0: the reward was not late. Both are fine and
the agent is no better: compare with the same agent without credit, at its best discount (`rudder-lrp compare`).
"""

_LAYOUT = {
    "learning": {
        "true return": ["Multiline", ["rollout/ep_rew_mean"]],
        "true return, with and without credit": ["Multiline", ["comparison/.*"]],
        "outcomes that the environment names": ["Multiline", ["outcomes/.*"]],
    },
    "predictor": {
        "how far it is trusted": ["Multiline", ["credit/q", "credit/explained_variance", "credit/foreseen"]],
        "losses": ["Multiline", ["credit/loss_last", "credit/loss_along"]],
        "returns of held-out episodes": ["Multiline", ["credit/true_return", "credit/predicted_return"]],
        "where the reward went": ["Multiline", ["credit/steps_moved_back"]],
        "what is amiss": ["Multiline", ["credit/residual", "credit/relevance_leak"]],
    },
    "price": {"seconds": ["Multiline", ["price/.*"]]},
}


def describe_run(writer: SummaryWriter, settings: Mapping[str, object]) -> None:
    """Write the guide, the layout of the custom scalars and the settings of a run."""
    writer.add_text("how to read this", GUIDE)
    writer.add_custom_scalars(_LAYOUT)
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
    writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{rows}")
