"""Credit beside the reward that was held back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import agents.deep.runs
from agents.deep.presets import AgentConfig, Credit
from studies.episodic_report import _agreement
from studies.proving_ground.held_back import HeldBackReward
from studies.proving_ground.tasks import Task
from studies.proving_ground.trials import Job, perform

STEPS = 1000
AT_RANDOM = AgentConfig("Pendulum-v1", algo="SAC", n_envs=1, algo_kwargs=("learning_starts=10000",))


def compared(credit: Credit, change=None) -> HeldBackReward:
    """What is found in 1,000 steps of SAC on Pendulum, 200 steps an episode, all at random."""
    found = HeldBackReward(every=500)

    def watch(_, model):
        if change is not None:
            model.replay_buffer.bring_up_to_date = lambda _: change(found, model.replay_buffer)
        return [found]

    agents.deep.runs.run(replace(AT_RANDOM, credit=credit), STEPS, evaluation_episodes=1, watch=watch)
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


@pytest.mark.parametrize(("arm", "measured"), [("uniform", True), ("dense", False)])
def test_a_run_that_is_evaluated_on_the_way_says_it_where_its_buffer_has_credit(arm, measured) -> None:
    task = Task("Pendulum-v1", (arm,), timesteps=STEPS, agent=AT_RANDOM, evaluate_every=500, evaluation_episodes=1)
    found = perform(Job(task, arm, (0,)))[0]
    assert [steps for steps, _ in found.get("held_back", [])] == ([500, 1000] if measured else [])


def test_a_table_has_the_means_over_the_seeds_that_measured_it_half_way_and_at_the_end() -> None:
    curves = [[[5000, 0.5], [30_000, 0.7], [60_000, 0.9]], [[20_000, 0.1], [60_000, 0.5]]]
    assert _agreement([{}, *({"held_back": curve} for curve in curves)]) == "0.45, 0.70 (2)"
    assert _agreement([{}]) == "-"
