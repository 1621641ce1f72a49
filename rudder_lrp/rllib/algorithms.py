"""RLlib's algorithms with credit: they start the predictor's actor, show how it does, and save it with themselves."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.appo import APPO
from ray.rllib.algorithms.dqn import DQN
from ray.rllib.algorithms.impala import IMPALA
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.algorithms.sac import SAC

from rudder_lrp.rllib.host import PredictorHost
from rudder_lrp.rllib.replay import redistributed_buffer
from rudder_lrp.rllib.sampling import spaces_of
from rudder_lrp.rllib.settings import CreditSettings, Spaces

_COMPONENT = "credit"


class Credited(Algorithm):
    """Mixed with an algorithm of RLlib, gives it credit; see `rudder_lrp.rllib.with_credit`."""

    config: Any
    local_replay_buffer: Any

    @classmethod
    def get_default_config(cls) -> Any:
        """RLlib's config of the algorithm."""
        config = super().get_default_config()
        config.algo_class = cls
        return config

    def setup(self, config: Any) -> None:
        """Called by RLlib: build all it needs, then the predictor.

        Raises:
            ValueError: if the config has no credit, or EnvRunners or the predictor's file have other spaces.
        """
        if not isinstance(getattr(self.config, "credit", None), CreditSettings):
            raise ValueError(f"the config of {type(self).__name__} has no credit; build it from with_credit(config)")
        own = self.config.copy(copy_frozen=False)
        own.credit = replace(own.credit, actor=f"predictor of {uuid.uuid4().hex}")
        own.freeze()
        self.config = own
        super().setup(own)
        spaces = self._spaces()
        self.credit = PredictorHost(own.credit, spaces, Path(self.logdir) / _COMPONENT)
        if self.local_replay_buffer is not None:
            self.local_replay_buffer = redistributed_buffer(own, spaces)

    def _spaces(self) -> Spaces:
        found: list[Spaces] = self.env_runner_group.foreach_env_runner(spaces_of)
        for other in found:
            if other != found[0]:
                raise ValueError(
                    f"EnvRunners have different spaces, {found[0]} and {other}; let the environment have the same for "
                    "every worker_index"
                )
        return found[0]

    def training_step(self) -> Any:
        """Called by RLlib: one step of the algorithm; logs how the predictor does below `credit/`."""
        result = super().training_step()
        for name, value in self.credit.progress().items():
            self.metrics.log_value((_COMPONENT, name), value, window=1)
        return result

    def cleanup(self) -> None:
        """Called by RLlib at the end: stop all actors."""
        super().cleanup()
        if hasattr(self, _COMPONENT):
            self.credit.stop()

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """RLlib's, and the predictor."""
        return [*super().get_checkpointable_components(), (_COMPONENT, self.credit)]

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """RLlib's, and the predictor's."""
        state = cast(dict[str, Any], super().get_state(components, not_components=not_components, **options))
        if self._check_component(_COMPONENT, components, not_components):
            state[_COMPONENT] = self.credit.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` returned."""
        super().set_state(state)
        if _COMPONENT in state:
            self.credit.set_state(state[_COMPONENT])


class CreditedPPO(Credited, PPO):
    """PPO with credit."""


class CreditedAPPO(Credited, APPO):
    """APPO with credit."""


class CreditedIMPALA(Credited, IMPALA):
    """IMPALA with credit."""


class CreditedSAC(Credited, SAC):
    """SAC with credit."""


class CreditedDQN(Credited, DQN):
    """DQN with credit."""


CREDITED: dict[type[Algorithm], type[Credited]] = {
    PPO: CreditedPPO,
    APPO: CreditedAPPO,
    IMPALA: CreditedIMPALA,
    SAC: CreditedSAC,
    DQN: CreditedDQN,
}
