"""The suites of the benchmark: tasks, arms, budgets. Experiments are data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agents.deep.presets import AgentConfig
from agents.tabular.lockstep import Exploration
from studies.proving_ground.arms import BASELINES, DEEP_CREDITS, DEFAULT, SHIPPED
from studies.proving_ground.horizons import GRID, SEEDS, TABLE, Tuning, chosen
from studies.proving_ground.lesson_study import LessonStudy
from studies.proving_ground.tasks import CONTROLS, MAIN_CREDITS, Suite, Task
from studies.results import ResultTable

SIDE = (
    "lrp/markov",
    "lrp/standard",
    "rrd",
    "uniform",
    "alignment",
    "integrated_gradients/markov",
)
"""Credits that run with fewer seeds."""


_HELD = Exploration(persistence=0.9)

_BOMBS = tuple(
    Task(
        f"rudder_lrp/Bomb{delay}-v0",
        side_arms=SIDE,
        goal=goal,
        published=published,
        episodes=1500,
        learning_rate=0.1,
        exploration=_HELD,
    )
    for delay, goal, published in (
        (6, 457, "MCTS 89.5k, MC 10.5M, Q(lambda) 56M"),
        (10, 1800, ""),
        (15, 8400, ""),
    )
)
_CHOICES = tuple(
    Task(
        f"rudder_lrp/Choice{delay}-v0",
        side_arms=side,
        goal=goal,
        published=published,
        baseline_episodes=episodes,
        learning_rate=0.003,
    )
    for delay, goal, published, episodes, side in (
        (40, 2700, "MC 40k, Q(lambda) 469k", 10_000, SIDE),
        (100, 3300, "MC 88.5k", 10_000, SIDE),
        (500, 3100, "MC 235k", 4_000, SIDE[:-1]),  # integrated gradients would take half an hour a run
    )
)
_TRACES = tuple(
    Task(f"rudder_lrp/TraceBack{delay}-v0", side_arms=SIDE, goal=goal, published=published)
    for delay, goal, published in (
        (10, 852, "look-back 10k, SARSA(lambda) 48k"),
        (15, 1150, "look-back 19.8k, SARSA(lambda) 139k"),
        (25, 631, "look-back 39.5k, SARSA(lambda) 458k"),
    )
)
_PLAIN = tuple(
    Task(
        task.env,
        arms=BASELINES,
        side_arms=(DEFAULT, "oracle"),
        goal=task.goal,
        published=task.published,
        episodes=3000,
        learning_rate=0.1,
    )
    for task in _BOMBS
)
_FURTHER_ARMS = ("monte_carlo", "monte_carlo/replay", "q_lambda", *CONTROLS, *MAIN_CREDITS)
_FURTHER = tuple(
    Task(
        f"rudder_lrp/{name}-v0",
        arms=_FURTHER_ARMS,
        side_arms=("alignment",),
        episodes=episodes,
        baseline_episodes=4000,
        learning_rate=rate,
        exploration=exploration,
    )
    for name, rate, exploration, episodes in (
        ("ChargeDischarge10", 0.1, Exploration(), 1000),
        ("ChargeDischarge20", 0.03, Exploration(), 1000),
        ("ChargeDischarge50", 0.03, Exploration(), 1000),
        ("Coin", 0.03, Exploration(), 1000),
        ("Umbrella20", 0.03, Exploration(), 1000),
        ("Umbrella100", 0.03, Exploration(), 1000),
        ("TMaze10", 0.1, _HELD, 1000),
        ("FourRooms", 0.1, Exploration(), 4000),  # few random walks reach the goal
        ("EightRooms", 0.1, Exploration(), 4000),
    )
)
_DEEP = ("dense", "none", SHIPPED, DEFAULT, "difference/markov", "lrp/leaky/0.02")
_SAC = AgentConfig(algo="SAC", n_envs=1)
_EPISODIC = AgentConfig(
    algo="SAC",
    n_envs=1,
    algo_kwargs=("learning_rate=0.0003", "learning_starts=6000", "policy_kwargs={'net_arch': [256, 256]}"),
)
"""SAC as Stable-Baselines3 has it, but for a first phase at random that holds a few whole episodes."""
_DEEP_SIDE = (*(arm for arm in DEEP_CREDITS if arm not in _DEEP), "recurrent_ppo")

_LATE = (
    Task("LunarLander-v3", arms=("none", SHIPPED, "dense"), timesteps=300_000),
    Task("rudder_lrp/KeyToDoor-v0", arms=("none", SHIPPED), timesteps=200_000),
)
"""Tasks on which every arm is given its own horizon and pace."""
_BEST = chosen(Path(__file__).parents[2] / "results")


def _tuned(task: Task, tuning: Tuning, *arms: str) -> Task:
    return replace(task, arms=arms, agent=replace(task.agent, algo_kwargs=tuning.algo_kwargs))


def _at_their_best() -> Iterator[tuple[Task, str, Tuning]]:
    """Each arm of the late tasks that a horizon has been chosen for, and what was chosen."""
    for late in _LATE:
        for arm in late.arms:
            if best := _BEST.get((late.env, arm)):
                yield late, arm, best


SUITES: dict[str, Suite] = {
    "quick": Suite(
        tuple(
            Task(f"rudder_lrp/{name}-v0", arms=arms, episodes=400, baseline_episodes=3000, exploration=exploration)
            for name, arms, exploration in (
                ("TraceBack10", ("monte_carlo", DEFAULT, "difference/markov"), Exploration()),
                ("Choice40", ("monte_carlo", DEFAULT, "difference/markov"), Exploration()),
                ("Bomb6", ("monte_carlo", DEFAULT, "difference/markov"), _HELD),
            )
        ),
        seeds=5,
        cap_seconds=120.0,
    ),
    "tabular": Suite((*_TRACES, *_BOMBS, *_CHOICES), seeds=20, cap_seconds=3600.0),
    "plain_exploration": Suite(_PLAIN, seeds=20, cap_seconds=3600.0),
    "further_tasks": Suite(_FURTHER, seeds=10, cap_seconds=3600.0),
    "deep": Suite(
        (
            Task("LunarLander-v3", arms=_DEEP, side_arms=_DEEP_SIDE, timesteps=300_000),
            Task("rudder_lrp/KeyToDoor-v0", arms=_DEEP[1:], side_arms=_DEEP_SIDE, timesteps=200_000),
            Task("Hopper-v5", arms=_DEEP, side_arms=_DEEP_SIDE, timesteps=300_000),
        ),
        seeds=10,
        side_seeds=5,
        cap_seconds=2 * 3600.0,
    ),
    "held_out": Suite(
        (Task("Walker2d-v5", arms=(*_DEEP, "difference/markov/0.02"), timesteps=300_000),),
        seeds=5,
        cap_seconds=2 * 3600.0,
        table="deep",
    ),
    "credit": Suite(
        tuple(
            Task(f"rudder_lrp/{name}-v0", arms=(SHIPPED,), timesteps=timesteps, credit_points=2)
            for name, timesteps in (
                ("KeyToDoor", 200_000),
                ("ChargeDischarge20", 40_000),
                ("Umbrella100", 60_000),
                ("TMaze10", 40_000),
                ("Harvest", 60_000),
                ("Ventures", 40_000),
            )
        ),
        seeds=5,
        first_seed=10,
        cap_seconds=2 * 3600.0,
    ),
    "lessons": Suite(
        tuple(
            Task(
                f"rudder_lrp/{name}-v0",
                arms=(SHIPPED,),
                timesteps=timesteps,
                evaluation_episodes=50,
                lessons=LessonStudy(counts, ages=(0.25, 0.5, 0.75)),
            )
            for name, timesteps, counts in (
                ("KeyToDoor", 100_000, (150, 600, 2_400, 20_000)),
                ("Harvest", 30_000, (150, 600, 2_400)),
            )
        ),
        seeds=5,
        first_seed=10,
        cap_seconds=2 * 3600.0,
        table="credit",
    ),
    "horizons": Suite(
        tuple(_tuned(task, Tuning(horizon), *task.arms) for task in _LATE for horizon in GRID),
        seeds=len(SEEDS),
        first_seed=SEEDS[0],
        cap_seconds=3600.0,
    ),
    "neighbours": Suite(
        tuple(_tuned(task, near, arm) for task, arm, best in _at_their_best() for near in best.neighbours),
        seeds=len(SEEDS),
        first_seed=SEEDS[0],
        cap_seconds=3600.0,
        table=TABLE,
    ),
    "best_horizons": Suite(
        tuple(_tuned(task, best, arm) for task, arm, best in _at_their_best()),
        seeds=10,
        cap_seconds=3600.0,
        table=TABLE,
    ),
    "off_policy": Suite(
        tuple(
            Task(
                env,
                arms=("none", "lrp/accumulator", "dense"),
                timesteps=20_000,
                agent=_SAC,
                evaluation_episodes=episodes,
            )
            for env, episodes in (("Pendulum-v1", 50), ("InvertedDoublePendulum-v5", 20))
        ),
        seeds=5,
        cap_seconds=3600.0,
        table="deep",
    ),
    "episodic_mujoco": Suite(
        tuple(
            Task(
                f"{name}-v5",
                arms=("rrd", "lrp/accumulator", "dense"),
                side_arms=("none", "uniform", "rrd/published"),
                timesteps=60_000,
                agent=_EPISODIC,
                evaluate_every=5_000,
            )
            for name in ("HalfCheetah", "Hopper", "Walker2d", "Swimmer", "Ant")
        ),
        seeds=5,
        cap_seconds=2 * 3600.0,
    ),
}
"""By name; `quick` takes under ten minutes on two cores, `held_out` has a deep task that no default was chosen with."""


def table_of(name: str, folder: Path) -> ResultTable:
    """The table in a folder that the rows of a suite are in."""
    return ResultTable(folder / f"{SUITES[name].table or name}.jsonl")
