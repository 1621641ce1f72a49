"""The share of an arm's runs that come to more than so much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studies import profiles
from studies.profiles import compared, draw_profiles, performance_profile


def test_a_profile_is_the_share_of_the_runs_above_each_threshold() -> None:
    runs = np.array([1.0, 2.0, 2.0, 5.0])
    profile = performance_profile(runs, np.array([0.0, 1.0, 2.0, 4.9, 5.0]))
    assert profile.share.tolist() == [1.0, 0.75, 0.25, 0.25, 0.0]


def test_its_interval_is_that_of_a_share_and_certain_where_all_runs_are_on_one_side() -> None:
    profile = performance_profile(np.arange(100.0), np.array([-1.0, 49.5, 100.0]))
    assert (profile.low[0], profile.high[0], profile.low[2], profile.high[2]) == (1.0, 1.0, 0.0, 0.0)
    # 1.96 standard deviations of a share of one half, by the binomial distribution.
    assert (profile.low[1], profile.high[1]) == pytest.approx((0.402, 0.598), abs=0.03)


def test_what_has_few_seeds_or_no_rival_has_no_profile(monkeypatch) -> None:
    few, many = np.zeros(2), np.zeros(3)
    found = {"one": {"none": many, "lrp/minimal": many, "dense": few}, "two": {"none": few, "dense": many}}
    monkeypatch.setattr(profiles, "evaluated", lambda _: found)
    monkeypatch.setattr(profiles, "last_evaluations", lambda _: {"three": {"rrd": many, "dense": many}})
    shown = {name: list(rewards) for name, rewards in compared(Path()).items()}
    assert shown == {
        "one": ["delayed, PPO alone", "LRP credit"],
        "episodic three": ["RRD, normalised, L2", "dense reward"],
    }


def test_there_is_a_panel_for_each_task(tmp_path: Path) -> None:
    runs = {"LRP credit": np.array([1.0, 2.0, 3.0]), "dense": np.array([0.0, 2.0, 9.0])}
    draw_profiles(path := tmp_path / "profiles.png", {"a": runs, "b": runs})
    assert path.stat().st_size > 1000
