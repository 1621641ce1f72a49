"""Episodic credit for the on-policy algorithms of sb3-contrib that have rollout buffers of their own."""

from __future__ import annotations

from typing import cast

from gymnasium import spaces

from rudder_lrp.sb3.episodic import EpisodicCredit
from rudder_lrp.sb3.rollout_buffers import RedistributedRolloutBuffer

try:
    from sb3_contrib import RecurrentPPO
    from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableRolloutBuffer
    from sb3_contrib.common.recurrent.buffers import RecurrentDictRolloutBuffer, RecurrentRolloutBuffer
except ImportError as error:
    raise ImportError('rudder_lrp.sb3.contrib needs sb3-contrib: pip install "rudder-lrp[contrib]"') from error


class RedistributedMaskableRolloutBuffer(RedistributedRolloutBuffer, MaskableRolloutBuffer):
    """For MaskablePPO."""


class RedistributedMaskableDictRolloutBuffer(RedistributedRolloutBuffer, MaskableDictRolloutBuffer):
    """For MaskablePPO on dictionaries of observations."""

    takes_dictionaries = True


class RedistributedRecurrentRolloutBuffer(RedistributedRolloutBuffer, RecurrentRolloutBuffer):
    """For RecurrentPPO; put in place by `use_episodic_credit`."""


class RedistributedRecurrentDictRolloutBuffer(RedistributedRolloutBuffer, RecurrentDictRolloutBuffer):
    """For RecurrentPPO on dictionaries of observations; put in place by `use_episodic_credit`."""

    takes_dictionaries = True


def use_episodic_credit(model: RecurrentPPO, credit: EpisodicCredit) -> None:
    """Give a RecurrentPPO a rollout buffer with episodic credit, since its constructor takes no buffer class.

    The buffer is not saved with the model: call this again after loading.

    Args:
        model: built on the wrapper; its empty rollout buffer is replaced by one of the same shape.
        credit: connection to the wrapper.
    """
    dictionaries = isinstance(model.observation_space, spaces.Dict)
    buffer_class = RedistributedRecurrentDictRolloutBuffer if dictionaries else RedistributedRecurrentRolloutBuffer
    old = cast(RecurrentRolloutBuffer, model.rollout_buffer)
    model.rollout_buffer = buffer_class(
        old.buffer_size,
        old.observation_space,
        old.action_space,
        old.hidden_state_shape,
        device=old.device,
        gae_lambda=old.gae_lambda,
        gamma=old.gamma,
        n_envs=old.n_envs,
        credit=credit,
    )
