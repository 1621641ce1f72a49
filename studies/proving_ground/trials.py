"""One job of a benchmark: train, measure, and say it in numbers that fit a row."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

import agents.deep.runs
from agents.deep.evaluations import Evaluations
from agents.deep.presets import AgentConfig, Credit, Delay, redistribution_of, redistributor_for
from agents.tabular.credited import CreditedAgent
from agents.tabular.credits import CreditConfig
from agents.tabular.lockstep import Rollout
from agents.tabular.observed import Observed
from envs.finite import FiniteEnv
from rudder_lrp.sb3 import RedistributedReplayBuffer
from studies.proving_ground.arms import DEEP, DEEP_RIVALS, LEARNERS, build_credit, check_arm, explained
from studies.proving_ground.credit_truth import CreditTruthCurve, credit_truth, credited_environment
from studies.proving_ground.curves import evenly, thinned
from studies.proving_ground.fidelity import fidelity_report
from studies.proving_ground.held_back import HeldBackReward
from studies.proving_ground.learning_time import EVERY, History, learn_in_lockstep, learn_with_credit
from studies.proving_ground.lesson_study import StudiedPolicies
from studies.proving_ground.tasks import Task

Result = dict[str, Any]
"""Numbers by name, ready for JSON."""

_POINTS = 40


@dataclass(frozen=True)
class Job:
    """One arm on one task, for one seed; or for several, where agents learn side by side."""

    task: Task
    arm: str
    seeds: tuple[int, ...]


def check(task: Task) -> None:
    """Refuse a task that cannot be run.

    Raises:
        ValueError: naming the environment or the arm that does not exist, and those that do.
    """
    if task.env not in gym.registry:
        raise ValueError(f"no environment {task.env!r}; gymnasium.pprint_registry() lists the ids there are")
    for arm in (*task.arms, *task.side_arms):
        check_arm(arm, task.env, deep=task.timesteps is not None)


def jobs(task: Task, arm: str, seeds: list[int]) -> list[Job]:
    """The jobs of an arm: agents without credit go side by side, the others alone."""
    groups = [tuple(seeds)] if arm in LEARNERS else [(seed,) for seed in seeds]
    return [Job(task, arm, group) for group in groups if group]


def perform(job: Job) -> dict[int, Result]:
    """Run a job; results by seed."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    if job.task.timesteps is not None:
        results = {job.seeds[0]: _deep(job)}
    elif job.arm in LEARNERS:
        results = _baselines(job)
    else:
        results = {job.seeds[0]: _credited(job)}
    seconds = round((time.perf_counter() - start) / len(job.seeds), 2)
    return {seed: {"status": "finished", "seconds": seconds, **result} for seed, result in results.items()}


def environment_of(task: Task) -> FiniteEnv:
    """The environment of a tabular task.

    Raises:
        ValueError: if it has no rules in arrays.
    """
    env = gym.make(task.env).unwrapped
    if not isinstance(env, FiniteEnv):
        raise ValueError(f"{task.env} has no tabular rules; give the task `timesteps`, to run PPO on it")
    return env


def _baselines(job: Job) -> dict[int, Result]:
    task, model = job.task, environment_of(job.task).model
    seeds = list(job.seeds)
    learner = LEARNERS[job.arm](model.shape, seeds, task.learning_rate)
    histories = learn_in_lockstep(model, learner, seeds, task.exploration, task.baseline_episodes)
    return {seed: _summary(task, history) for seed, history in zip(seeds, histories, strict=True)}


def _credited(job: Job) -> Result:
    task, env = job.task, environment_of(job.task)
    (seed,), config = job.seeds, CreditConfig()
    credit = build_credit(job.arm, env, task.exploration.epsilon, seed, config)
    agent = CreditedAgent(Observed.of(env), credit, seed, plain_learning_rate=task.learning_rate, config=config)
    history = learn_with_credit(env, agent, task.exploration, task.episodes)
    rollouts, lessons = zip(*agent.latest[-10:], strict=True)
    rollout = Rollout(*(np.concatenate(parts) for parts in zip(*rollouts, strict=True)))
    known = [lesson for group in lessons for lesson in group]
    report = fidelity_report(env.model, credit, rollout, known, task.exploration.epsilon)
    return {**_summary(task, history), "trusted_at": history.trusted_at, **report}


def _summary(task: Task, history: History) -> Result:
    model = environment_of(task).model
    at = np.unique(np.geomspace(1, len(history.returns), _POINTS).astype(int)) - 1
    return {
        "solved_at": history.solved_at(model),
        "episodes": len(history.returns) * EVERY,
        "final_share": round(float(history.shares(model)[-10:].mean()), 4),
        "curve": evenly(thinned([(int(point + 1) * EVERY, float(history.returns[point])) for point in at])),
    }


def deep_config(task: Task, arm: str, seed: int) -> AgentConfig:
    """The agent of a deep arm."""
    config = replace(task.agent, env=task.env, seed=seed, credit=Credit.NONE)
    if arm in DEEP:
        delay = Delay.NONE if arm == "dense" else config.delay
        return replace(config, algo="RecurrentPPO" if arm == "recurrent_ppo" else config.algo, delay=delay)
    if arm in DEEP_RIVALS:
        return replace(config, credit=Credit(arm.partition("/")[0]), rrd=DEEP_RIVALS[arm])
    common = redistribution_of(config)
    credit, structure, training = explained(arm, common.training)
    return replace(
        config, credit=Credit(credit), redistribution=replace(common, structure=structure, training=training)
    )


@dataclass
class _Watched:
    """What is looked at while a deep agent trains, as its job asks for it."""

    job: Job
    config: AgentConfig
    curves: list[CreditTruthCurve] = field(default_factory=list)
    held_back: list[HeldBackReward] = field(default_factory=list)

    def __post_init__(self) -> None:
        task = self.job.task
        self.evaluations = Evaluations(self.config, task.evaluate_every)
        self.lessons = task.lessons and StudiedPolicies(task.lessons, task.timesteps or 0, self.config.seed)

    def callbacks(self, config: AgentConfig, model: BaseAlgorithm) -> list[BaseCallback]:
        task, env = self.job.task, credited_environment(model)
        if task.credit_points and env is not None:
            every = (task.timesteps or 0) // task.credit_points
            self.curves.append(CreditTruthCurve(redistributor_for(config, env), every, episodes=100))
        if task.evaluate_every and isinstance(getattr(model, "replay_buffer", None), RedistributedReplayBuffer):
            self.held_back.append(HeldBackReward(task.evaluate_every))
        evaluations = [self.evaluations] if task.evaluate_every else []
        return [*self.curves, *self.held_back, *evaluations, *([self.lessons] if self.lessons else [])]

    def measure(self, config: AgentConfig, model: BaseAlgorithm) -> dict[str, Any]:
        return _credit_of(config, model) | (self.lessons.found(model) if self.lessons else {})


def _deep(job: Job) -> Result:
    task, config = job.task, deep_config(job.task, job.arm, job.seeds[0])
    watched = _Watched(job, config)
    result = agents.deep.runs.run(
        config,
        task.timesteps or 0,
        evaluation_episodes=task.evaluation_episodes,
        measure=watched.measure,
        watch=watched.callbacks,
    )
    curves, evaluated = watched.curves, watched.evaluations.curve
    return {
        "episodes": result.episodes,
        "final_return": round(result.final_return, 3),
        "evaluation": round(evaluated[-1][1] if evaluated else result.evaluation, 3),
        "outcomes": result.outcomes,
        "learning_seconds": round(result.seconds, 1),
        "curve": thinned(evenly(result.curve)),
        **result.measured,
        **({"credit_curve": curves[0].curve} if curves else {}),
        **({"evaluations": thinned(evaluated)} if evaluated else {}),
        **({"held_back": thinned(watched.held_back[0].curve)} if watched.held_back else {}),
    }


def _credit_of(config: AgentConfig, model: BaseAlgorithm) -> dict[str, float]:
    """How near the credit comes to the true one, where that is known; nothing while the predictor is not trusted."""
    env = credited_environment(model)
    if env is None or not env.online.q:
        return {}
    truth = credit_truth(model, redistributor_for(config, env))
    if truth is None:
        return {}
    return truth.rounded() | {"explained_variance": round(env.online.quality.explained_variance, 4)}
