"""What is claimed of learnt quantities, each judged by the median of three seeds.

`python -m tests.learning 20 results/learning_margins.json` measures each over twenty seeds, and with which probability
the median of three of them would fall on the wrong side of its bound.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from agents.tabular.watch_repair import credited
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import Predicts, Trainer, TrainingConfig, fit
from rudder_lrp.redistribution import DifferenceRedistributor
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED, CreditConfig
from rudder_lrp.redistribution.randomized import RandomizedDecomposition
from tests.conftest import SPACES, make_episode

SEEDS = range(3)


class Claim(NamedTuple):
    """That a quantity is above a bound, in the median over seeds."""

    measure: Callable[[int], float]
    bound: float

    def median(self, seeds: range = SEEDS) -> float:
        return float(np.median([self.measure(seed) for seed in seeds]))


def return_that_steps_add_up_to(structure: Structure) -> Callable[[int], float]:
    """Explained variance of a return that every step contributes to."""

    def measure(seed: int) -> float:
        rng = np.random.default_rng(seed)
        episodes = [make_episode(rng, int(rng.integers(5, 15))) for _ in range(400)]
        predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, seed=seed)
        return fit(predictor, episodes, TrainingConfig(updates=400)).explained_variance

    return measure


def lessons_decided_at(step: int, n_features: int, seed: int) -> LessonBuffer:
    """Lessons of 30 steps, one of which decides; all others are distractions."""
    rng = np.random.default_rng(seed)
    lessons = LessonBuffer(seed=seed)
    for _ in range(500):
        features = rng.normal(size=(30, n_features)).astype(np.float32)
        lessons.add(Lesson(features, np.append(np.zeros(29), np.sign(features[step, 0]))))
    return lessons


def less_variation(seed: int) -> float:
    """How many times as much of the absolute credit the deciding step gets where little variation is asked for."""

    def share_of_the_first_step(variation_weight: float) -> float:
        predictor = ReturnPredictor.for_spaces(*SPACES, structure="accumulator", seed=seed)
        lessons = lessons_decided_at(0, len(predictor.features), seed)
        options = {"updates": 300, "following_updates": 300, "learning_rate": 1e-2}
        Trainer(predictor, TrainingConfig(variation_weight=variation_weight, **options)).train(lessons)
        with torch.no_grad():
            credit = predictor.changes(predictor(LessonBatch.collate(lessons.held_out).features)).abs()
        return float((credit[:, 0] / credit.sum(dim=1)).mean())

    return share_of_the_first_step(0.1) / share_of_the_first_step(0.0)


def picture_of_a_bar(upright: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Twelve bright pixels somewhere: nothing but the direction of the bar tells the two kinds apart."""
    picture = np.zeros((32, 32, 1), dtype=np.uint8)
    row, column = rng.integers(26, size=2)
    height, width = (6, 2) if upright else (2, 6)
    picture[row : row + height, column : column + width] = 255
    return picture


def episode_of_bars(space: spaces.Box, rng: np.random.Generator) -> Episode:
    """The return is paid at the end: how many upright bars were seen."""
    upright = rng.random(6) < 0.5
    pictures = np.stack([np.zeros(space.shape), *(picture_of_a_bar(bool(kind), rng) for kind in upright)])
    rewards = np.append(np.zeros(5), upright.sum())
    brightness = space.high.max() / 255.0
    return Episode((pictures * brightness).astype(space.dtype), np.zeros(6, dtype=np.int64), rewards, False)


def shapes(space: spaces.Box) -> Callable[[int], float]:
    """Explained variance of a return that only shapes tell."""

    def measure(seed: int) -> float:
        rng = np.random.default_rng(seed)
        predictor = ReturnPredictor.for_spaces(space, spaces.Discrete(2), structure="accumulator", seed=seed)
        episodes = [episode_of_bars(space, rng) for _ in range(320)]
        return fit(predictor, episodes, TrainingConfig(updates=150, predicts=Predicts.SHARE)).explained_variance

    return measure


def numbers_hide_shapes(seed: int) -> float:
    """What the same pictures leave unexplained where they are plain numbers."""
    return 1.0 - shapes(spaces.Box(0.0, 2.0, (32, 32, 1), np.float32))(seed)


def randomised_decomposition(seed: int) -> float:
    """How far from 1 the reward is that is found on steps that earn 1, over those that earn nothing; negative."""
    rng, lessons = np.random.default_rng(seed), LessonBuffer(seed=seed)
    for _ in range(200):
        features = rng.integers(2, size=(30, 3)).astype(np.float32)
        rewards = np.zeros(30)
        rewards[-1] = features[:, 1].sum()
        lessons.add(Lesson(features, rewards))
    model = RandomizedDecomposition(TrainingConfig(updates=300, learning_rate=1e-2), seed=seed, subset=10)
    model.train(lessons)
    found = model.rewards(lessons.held_out[0])
    earning = lessons.held_out[0].features[:, 1] > 0
    return -abs(float(found[earning].mean() - found[~earning].mean()) - 1.0)


def wandering(rng: np.random.Generator, steps: int = 60) -> tuple[Episode, np.ndarray]:
    """An episode of a slowly wandering state, which pays its square at the end, and what each step added to that."""
    position = np.zeros((steps + 1, 3), dtype=np.float32)
    for t in range(steps):
        position[t + 1] = 0.95 * position[t] + 0.3 * rng.normal(size=3)
    dense = -np.square(position[1:, 0]).astype(np.float64)
    paid = np.append(np.zeros(steps - 1), dense.sum())
    return Episode(position, rng.integers(2, size=steps), paid, truncated=True), dense


def likeness(defaults: CreditConfig, seed: int) -> float:
    """Correlation of the credit of a step with what it added."""
    played = (wandering(np.random.default_rng([seed, number])) for number in range(150))
    episodes, dense = zip(*played, strict=True)
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=Structure.ACCUMULATOR, seed=seed)
    fit(predictor, episodes[:100], replace(defaults.training, updates=400))
    rewards = DifferenceRedistributor(predictor).redistribute(episodes[100:])
    inner = [(new[1:-1], own[1:-1]) for new, own in zip(rewards, dense[100:], strict=True)]
    return float(np.corrcoef(*(np.concatenate(part) for part in zip(*inner, strict=True)))[0, 1])


def share_over_outlook(seed: int) -> float:
    """By how much the share is more like what a step added than the outlook is."""
    return likeness(REPLAYED, seed) - likeness(ON_POLICY, seed)


@cache
def _fidelity(seed: int) -> dict[str, float]:
    return credited(cap=900, seed=seed).fidelity


def watch_repair(quantity: str) -> Callable[[int], float]:
    """Fidelity of the credit of watch repair after 900 episodes."""
    return lambda seed: _fidelity(seed)[quantity]


def true_share_on_decisive(seed: int) -> float:
    """How far the share of the credit on decisive steps is from that of the true credit; negative."""
    return -abs(_fidelity(seed)["on_decisive"] - _fidelity(seed)["true_on_decisive"])


CLAIMS: dict[str, Claim] = {
    **{f"return, {structure}": Claim(return_that_steps_add_up_to(structure), 0.6) for structure in Structure},
    "less variation": Claim(less_variation, 1.5),
    "shapes in pictures": Claim(shapes(spaces.Box(0, 255, (32, 32, 1), np.uint8)), 0.5),
    "shapes in numbers": Claim(numbers_hide_shapes, 0.6),
    "randomised decomposition": Claim(randomised_decomposition, -0.3),
    "share in replay": Claim(lambda seed: likeness(REPLAYED, seed), 0.6),
    "share over outlook": Claim(share_over_outlook, 0.1),
    "watch repair, explained variance": Claim(watch_repair("explained_variance"), 0.6),
    "watch repair, rank correlation": Claim(watch_repair("rank_correlation"), 0.0),
    "watch repair, decisive steps": Claim(true_share_on_decisive, -0.25),
}


def margins(name: str, count: int) -> dict[str, object]:
    """Measure a claim over seeds that its test does not use."""
    claim = CLAIMS[name]
    values = sorted(claim.measure(100 + seed) for seed in range(count))
    medians = [median for _, median, _ in combinations(values, 3)]
    wrong = float(np.mean([median <= claim.bound for median in medians]))
    return {
        "claim": name,
        "bound": claim.bound,
        "least": round(values[0], 3),
        "median": round(float(np.median(values)), 3),
        "most": round(values[-1], 3),
        "seeds": count,
        "a median of three fails": round(wrong, 4),
    }


def main() -> None:
    """Arguments: number of seeds and the file to write."""
    count, path = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    machine = f"{platform.machine()}, ATEN_CPU_CAPABILITY={os.environ.get('ATEN_CPU_CAPABILITY', 'native')}"
    rows = [margins(name, count) for name in CLAIMS]
    report = {"command": f"python -m tests.learning {count} {path}", "machine": machine, "claims": rows}
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
