"""What every buffer with episodic credit has in common: how it is built, and what it refuses to store."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer

from rudder_lrp.sb3.episodic import EpisodicCredit


class CreditedBuffer(BaseBuffer):
    """Connects the buffer it is mixed with to the wrapper.

    A subclass does for one buffer of Stable-Baselines3 what is to be done with the connection; mixed with another one
    of the same kind, it does the same for that one.

    Args:
        credit: connection to the wrapper.
        buffer_size, observation_space, arguments, options: as in the buffer it is mixed with.

    Raises:
        TypeError: if observations are dictionaries and this buffer stores arrays.
    """

    takes_dictionaries: ClassVar[bool] = False

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        *arguments: Any,
        credit: EpisodicCredit,
        **options: Any,
    ) -> None:
        if isinstance(observation_space, spaces.Dict) and not self.takes_dictionaries:
            raise TypeError(
                f"{type(self).__name__} stores arrays, but the observations are {observation_space}; "
                "use the redistributed buffer with Dict in its name"
            )
        super().__init__(buffer_size, observation_space, *arguments, **options)
        self._connect(credit)

    @abstractmethod
    def _connect(self, credit: EpisodicCredit) -> None:
        """Take the connection in, once the buffer is there and empty."""
