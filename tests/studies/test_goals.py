from __future__ import annotations

import numpy as np
import pytest

from agents.tabular.lockstep import Draws, Exploration, play
from envs import Bomb, Choice, FiniteEnv, TraceBack
from studies.proving_ground.fidelity import decisive_steps
from studies.proving_ground.goals import decisive_by_chance, goals
from studies.proving_ground.tables import Table, before_trust
from studies.proving_ground.tasks import Task
from studies.proving_ground.watch_repair_report import repair_medians, watch_repair_section


def runs(solved_at: int | None, on_decisive: float = 0.5) -> list[dict[str, object]]:
    return [{"solved_at": solved_at, "episodes": 600, "on_decisive": on_decisive, "explained_variance": 0.9}] * 3


def cells(page: str, row: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("solved_at", "verdict"), [(100, "met"), (101, "missed"), (None, "missed")])
def test_a_goal_is_met_by_a_median_that_is_not_above_it(solved_at: int | None, verdict: str) -> None:
    table: Table = {"lrp/leaky": runs(solved_at), "monte_carlo": runs(290), "q_lambda": runs(None)}
    page = goals({"tabular": [(Task("rudder_lrp/TraceBack10-v0", goal=100), table)]})
    found = cells(page, "TraceBack10-v0")
    assert found[3] == verdict
    assert found[5:7] == ["monte_carlo 290", f"{290 / solved_at:.3g}" if solved_at else "not solved"]


@pytest.mark.parametrize(("share", "verdict"), [(0.8, "met"), (0.79, "missed")])
def test_credit_has_to_lie_on_decisive_steps(share: float, verdict: str) -> None:
    page = goals({"further_tasks": [(Task("rudder_lrp/Coin-v0"), {"lrp/leaky": runs(10, share)})]})
    assert cells(page, "Coin-v0")[1:3] == [f"{share:.2f}", verdict]


def test_the_true_credit_of_a_deep_agent_stands_beside_its_own() -> None:
    result = {"final_return": 1.0, "on_decisive": 0.3, "true_on_decisive": 0.4, "explained_variance": 0.9}
    task = Task("rudder_lrp/KeyToDoor-v0", timesteps=1)
    page = goals({"deep": [(task, {"lrp/leaky": [result]}), (Task("Hopper-v5", timesteps=1), {"lrp/leaky": [{}]})]})
    expected = ["0.30", "missed, and so does the true credit", "0.90", "-", "-", "0.40"]
    assert cells(page, "KeyToDoor-v0")[1:] == expected
    assert "Hopper-v5" not in page


@pytest.mark.parametrize(("episodes", "verdict"), [(1500, "met"), (1501, "missed")])
def test_watch_repair_has_its_goals_too(episodes: int, verdict: str) -> None:
    credit = {"on_decisive": 0.5, "true_on_decisive": 0.57, "rank_correlation": 0.4, "explained_variance": 0.97}
    times = {"Monte Carlo": [2999, 3001], "LRP": [episodes, episodes], "Q-learning": [2000, None]}
    rows = [
        {"agent": agent, "seed": seed, "episodes": took, "cap": 5000, "solved": "most", "command": "python"}
        | (credit if agent == "LRP" else {})
        for agent, of_agent in times.items()
        for seed, took in enumerate(of_agent)
    ]
    page = goals({}, rows)
    assert f"| 1500 | {episodes} | {verdict} | 2 | Monte Carlo: 3000 | {3000 / episodes:.3g} |" in page
    assert cells(page, "watch repair")[1:] == ["-", "missed, and so does the true credit", "0.97", "0.50", "-", "0.57"]
    section = watch_repair_section(rows)
    assert "| Q-learning | - | 2000 | - | 1/2 |" in section
    assert "| 0.50 | 0.57 | 0.40 | 0.97 |" in section
    assert repair_medians(rows) == {"Monte Carlo": "3000", "LRP": f"{episodes}", "Q-learning": "> 5000"}
    with pytest.raises(ValueError, match="says nothing of its credit"):
        watch_repair_section(rows[:2])


@pytest.mark.parametrize(("final", "verdict"), [(1.0, "met"), (0.9, "missed")])
def test_deep_credit_has_to_reach_the_dense_reward(final: float, verdict: str) -> None:
    arms = {"none": 0.0, "dense": 1.0, "lrp/leaky": final, "difference/markov": 0.5}
    table: Table = {arm: [{"final_return": value}] for arm, value in arms.items()}
    page = goals({"deep": [(Task("Hopper-v5", arms=tuple(arms), timesteps=1), table)]})
    expected = [f"{final:.2f}", verdict, f"lrp/leaky {final:.2f}", "difference/markov 0.50"]
    assert cells(page, "Hopper-v5")[1:] == expected


@pytest.mark.parametrize("env", [Bomb(2), Choice(3), TraceBack(4)])
def test_decisive_steps_by_chance_are_as_many_as_in_random_episodes(env: FiniteEnv) -> None:
    model, n = env.model, 4000
    draws = Draws([np.random.default_rng(0)], n, model.steps)
    rollout = play(model, np.zeros((1, *model.shape)), draws, draws.exploring(Exploration(), 1.0, model.shape[2]))
    counts = decisive_steps(model, rollout).sum(axis=1)
    assert abs(counts.mean() - decisive_by_chance(model)) < 4 * counts.std() / np.sqrt(n) + 1e-9


def test_runs_that_were_solved_before_any_credit_tell_nothing_of_it() -> None:
    runs = [
        {"solved_at": 10, "trusted_at": 130},
        {"solved_at": 130, "trusted_at": 130},  # the round that earned trust solved it
        {"solved_at": 200, "trusted_at": None},
        {"solved_at": None, "trusted_at": 140},
    ]
    assert before_trust(runs) == (2, 3)
