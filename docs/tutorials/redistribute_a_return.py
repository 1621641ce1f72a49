"""From nothing to a picture: record episodes that pay late, train a predictor, redistribute, draw one episode.

python docs/tutorials/redistribute_a_return.py [FOLDER OF THE PICTURE]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces

from rudder_lrp import Episode, LRPRedistributor, ReturnPredictor, TrainingConfig, fit
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.redistribution.diagnosis import timeline
from rudder_lrp.viewing.tensorboard import draw_timeline

torch.set_num_threads(1)
rng = np.random.default_rng(0)
observation_space, action_space = spaces.Box(-5.0, 5.0, (2,)), spaces.Discrete(3)


def play() -> Episode:
    """Forty steps: a lamp lights at one of them, and pressing action 2 just then pays 1 at the end."""
    observations = np.zeros((41, 2), dtype=np.float32)
    lamp = rng.integers(5, 30)
    observations[lamp, 0] = 1.0
    observations[:, 1] = rng.normal(size=41)  # tells nothing
    actions = rng.integers(3, size=40)
    observations[lamp + 1, 0] = 0.5 if actions[lamp] == 2 else -0.5  # it was pressed, or missed
    rewards = np.zeros(40)
    rewards[-1] = float(actions[lamp] == 2)
    return Episode(observations, actions, rewards)


episodes = [play() for _ in range(300)]
predictor = ReturnPredictor.for_spaces(observation_space, action_space, seed=0)
quality = fit(predictor, episodes, TrainingConfig(updates=300))
print(f"explained variance on held-out episodes: {quality.explained_variance:.2f}")

redistributor = LRPRedistributor(predictor)
paid = next(one for one in episodes if one.episode_return == 1.0)
(rewards,) = redistributor.redistribute([paid])
lamp = int(paid.observations[:, 0].argmax())
most = int(np.abs(rewards).argmax())
print(f"the lamp was pressed at step {lamp}, most credit is at step {most}, sum {rewards.sum():.3f}")

shown = timeline(redistributor, Lesson.from_episode(paid, predictor.features))
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures")
draw_timeline(shown, f"the lamp was pressed at step {lamp}").savefig(folder / "tutorial_redistribute.png")
