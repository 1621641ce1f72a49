from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "stable_baselines3.md"


def documented_configuration() -> str:
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    return block


@pytest.mark.slow
def test_the_documented_configuration_trains_with_credit_in_the_rl_zoo_as_released(tmp_path, monkeypatch) -> None:
    train = pytest.importorskip("rl_zoo3.train")
    (tmp_path / "credit.yml").write_text(documented_configuration())
    command = "train --algo ppo --env LunarLander-v3 --conf-file credit.yml --eval-freq -1"
    for_a_test = "-n 4096 -f logs --device cpu -tb board"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", f"{command} {for_a_test}".split())
    train.train()
    (model,) = tmp_path.glob("logs/ppo/LunarLander-v3_1/LunarLander-v3.zip")
    assert model.is_file()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = tmp_path.glob("board/LunarLander-v3/PPO_1/events*")
    board = EventAccumulator(str(events))
    board.Reload()
    assert "credit/q" in board.Tags()["scalars"]
    assert "rollout/ep_rew_mean" in board.Tags()["scalars"]
