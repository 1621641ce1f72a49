"""How near the credit comes to the reward that an environment held back.

Where a delay was put on an environment that pays at once, what each step was paid is known, and no agent and no
predictor has seen it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from rudder_lrp.sb3 import RedistributedReplayBuffer


class HeldBackReward(BaseCallback):
    """Compares what a replay buffer hands out for its latest whole episodes with what `DelayedReward` held back.

    Episodes that are spread evenly differ from each other alone, and their rewards agree with what was held back as far
    as that does, too: it is what a correlation is to be measured by, not zero.

    Args:
        every: environment steps between two comparisons, and how many steps are compared.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.curve: list[tuple[int, float]] = []
        """Environment steps, and the correlation over the steps of the episodes, once there is one."""
        self._held_back: list[list[float]] = []
        self._next = every

    def _on_step(self) -> bool:
        # The step itself is not in the buffer yet.
        if self.num_timesteps >= self._next:
            self._next += self.every
            if np.isfinite(correlation := self._correlation()):
                self.curve.append((self.num_timesteps, correlation))
        self._held_back.append([info["dense_reward"] for info in self.locals["infos"]])
        return True

    def _correlation(self) -> float:
        buffer = self.locals["replay_buffer"]
        assert isinstance(buffer, RedistributedReplayBuffer)
        rows = [_latest_whole(dones, self.every // buffer.n_envs) for dones in buffer.dones[: buffer.pos].T]
        for of in rows:
            buffer.bring_up_to_date(of)
        held_back = np.array(self._held_back).reshape(-1, buffer.n_envs)
        handed = np.concatenate([buffer.rewards[of, at] for at, of in enumerate(rows)])
        true = np.concatenate([held_back[of, at] for at, of in enumerate(rows)])
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.corrcoef(handed, true)[0, 1]) if len(true) > 1 else float("nan")


def _latest_whole(dones: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """The rows of the latest whole episodes of `[N]` rows, `most` of them if there are so many."""
    end = int(np.flatnonzero(dones)[-1]) + 1 if dones.any() else 0
    return np.arange(max(end - most, 0), end)
