"""Episodes from elsewhere: demonstrations and other recorded data as lessons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from rudder_lrp.episodes.episode import Episode

if TYPE_CHECKING:
    from minari import EpisodeData, MinariDataset


def minari_episodes(dataset: MinariDataset | Iterable[EpisodeData]) -> Iterator[Episode]:
    """The episodes of a Minari data set, or of a selection of its episodes; those that were left unfinished, not.

    Install Minari with `pip install "rudder-lrp[offline]"`.

    Raises:
        ValueError: if a reward is not finite, or an episode's lengths do not fit together.
    """
    for data in dataset:
        terminated, truncated = bool(data.terminations[-1]), bool(data.truncations[-1])
        if terminated or truncated:
            yield Episode(data.observations, np.asarray(data.actions), data.rewards, truncated and not terminated)
