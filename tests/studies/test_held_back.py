"""Credit beside the reward that was held back."""

from __future__ import annotations

import numpy as np
import pytest

import agents.deep.runs
from agents.deep.presets import AgentConfig, Credit
from studies.proving_ground.held_back import HeldBackReward

STEPS = 1000


def compared(credit: Credit, change=None) -> HeldBackReward:
    """What is found in 1,000 steps of SAC on Pendulum, 200 steps an episode, all at random."""
    found = HeldBackReward(every=500)
    config = AgentConfig("Pendulum-v1", algo="SAC", n_envs=1, credit=credit, algo_kwargs=("learning_starts=10000",))

    def watch(_, model):
        if change is not None:
            model.replay_buffer.bring_up_to_date = lambda: change(found, model.replay_buffer)
        return [found]

    agents.deep.runs.run(config, STEPS, evaluation_episodes=1, watch=watch)
    return found


def test_rewards_are_compared_with_those_of_the_same_steps_as_far_as_episodes_are_whole() -> None:
    def hand_out_the_truth(found, buffer) -> None:
        seen = np.array(found._held_back)
        buffer.rewards[: len(seen)] = seen
        buffer.rewards[len(seen) // 200 * 200 : len(seen)] = 1e6  # of an episode that is still running

    found = compared(Credit.UNIFORM, hand_out_the_truth)
    assert [steps for steps, _ in found.curve] == [500, 1000]
    assert [value for _, value in found.curve] == pytest.approx([1.0, 1.0], abs=1e-6)


def test_what_is_spread_evenly_agrees_as_far_as_the_episodes_differ() -> None:
    found = compared(Credit.UNIFORM)
    whole = np.array(found._held_back[: STEPS - 200]).reshape(-1, 200)[-3:].ravel()[-500:]
    first, *others = np.array_split(whole, [100, 300])
    even = np.concatenate([np.full(len(part), mean) for part, mean in zip((first, *others), means(found), strict=True)])
    assert found.curve[-1][1] == pytest.approx(np.corrcoef(even, whole)[0, 1], abs=1e-6)


def means(found: HeldBackReward) -> np.ndarray:
    """Of the episodes that the last comparison is of."""
    return np.array(found._held_back[: STEPS - 200]).reshape(-1, 200).mean(axis=1)[-3:]
