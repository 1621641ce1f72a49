from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.device import Device
from rudder_lrp.rllib import host
from tests.conftest import SPACES
from tests.rllib.play import SETTINGS, actor, played


def lessons(count: int, seed: int = 0) -> list[Lesson]:
    rng = np.random.default_rng(seed)
    features = SETTINGS.online(SPACES).predictor.features
    return [Lesson.from_episode(played(rng, int(rng.integers(5, 20))), features) for _ in range(count)]


def test_weights_go_out_only_where_another_version_is(tmp_path: Path) -> None:
    predictor = actor(tmp_path)
    first = predictor.exchange(lessons(4), 40, None)
    assert first.weights is not None
    assert first.trust == 0.0
    assert predictor.exchange([], 10, first.version).weights is None
    trained = predictor.exchange(lessons(12, seed=1), 100, first.version)
    assert trained.version != first.version
    assert trained.weights is not None
    assert set(trained.weights) == set(predictor.online.predictor.state_dict())


def test_what_reached_the_predictor_survives_a_kill_of_its_process(tmp_path: Path) -> None:
    first = actor(tmp_path)
    version = first.exchange(lessons(16), 100, None).version
    first.exchange(lessons(5, seed=1), 10, version)
    weights = first.online.predictor.state_dict()
    abandoned(first)
    again = actor(tmp_path)
    assert again.online.lessons.seen == 21
    assert again.online.version == first.online.version == 1
    assert all((again.online.predictor.state_dict()[name] == value).all() for name, value in weights.items())
    assert again.exchange([], 0, version).weights is not None


def test_lessons_that_are_sent_again_count_once(tmp_path: Path) -> None:
    predictor = actor(tmp_path)
    predictor.exchange(sent := lessons(4), 40, None)
    predictor.exchange([*sent, *lessons(2, seed=1)], 0, None, again=True)
    assert predictor.online.lessons.seen == 6


def test_its_state_goes_on_elsewhere_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    predictor = actor(tmp_path / "one")
    predictor.exchange(lessons(16), 100, None)
    other = actor(tmp_path / "other")
    other.set_state(state := predictor.get_state())
    assert told(other) == told(predictor)
    state["predictor.safetensors"] = state["predictor.safetensors"][:-8]
    with pytest.raises(ValueError, match="damaged"):
        predictor.set_state(state)
    assert told(other) == told(predictor)


@pytest.mark.parametrize(("options", "asked"), [({}, 1), ({"num_gpus": 0.5}, 0.5)])
def test_a_predictor_on_a_gpu_asks_the_cluster_for_one_unless_told_otherwise(options, asked, monkeypatch) -> None:
    monkeypatch.setattr(host.ray, "cluster_resources", lambda: {"GPU": 1.0})
    credit = replace(SETTINGS.credit, device=Device.CUDA)
    assert host._needed(replace(SETTINGS, credit=credit, actor_options=options)) == {"num_gpus": asked}
    assert host._needed(SETTINGS) == {}


def told(predictor) -> dict[str, float]:
    """What does not depend on who asked it how often."""
    return {
        name: value for name, value in predictor.progress().items() if name not in ("messages", "processor_seconds")
    }


def abandoned(predictor) -> None:
    """Let go of files as the end of a process would, without writing anything."""
    predictor._folder._journal.close()
    predictor._folder._lock.release()
