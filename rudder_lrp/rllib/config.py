"""One call that gives an algorithm of RLlib credit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils import force_list

from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor, Redistributor, Residual
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED, CreditConfig
from rudder_lrp.rllib.algorithms import CREDITED, Credited
from rudder_lrp.rllib.connector import LearnerConnectors
from rudder_lrp.rllib.replay import REDISTRIBUTED
from rudder_lrp.rllib.sampling import CreditOfSamples
from rudder_lrp.rllib.settings import CreditSettings

_Config = TypeVar("_Config", bound=AlgorithmConfig)


def with_credit(
    config: _Config,
    credit: CreditConfig | None = None,
    *,
    predictor: str | Path | None = None,
    redistributor: Callable[[ReturnPredictor], Redistributor] | None = None,
    seed: int = 0,
    interval: float = 1.0,
    actor_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> _Config:
    """A copy of a config whose algorithm learns from redistributed rewards.

    Let it be the last to change the config: connectors and callbacks that are there already stay.

    Args:
        config: of PPO, APPO, IMPALA, SAC or DQN, on RLlib's new API stack.
        credit: what predictor, lessons and training are like; `ON_POLICY` or, where there is a replay buffer,
            `REPLAYED`.
        predictor: file of a predictor to begin with, whoever trained it.
        redistributor: makes of a predictor what redistributes whole episodes; differences of predictions or, where
            there is a replay buffer, LRP with the residual spread.
        seed: of the predictor's weights and the choice of lessons.
        interval: seconds between two messages of one EnvRunner to the predictor, at least.
        actor_options: of the predictor's Ray actor, such as `{"num_gpus": 1}`; by default it reserves nothing but
            the GPU that `device="cuda"` needs.
        options: fields of `credit` to change.

    Raises:
        TypeError: if there is no such option.
        ValueError: if the config is of another algorithm, of the old API stack, or of several agents.
    """
    base = _base(config)
    replays = base in _REPLAYING
    chosen = credit or (REPLAYED if replays else ON_POLICY)
    changed: _Config = config.copy(copy_frozen=False)
    changed.algo_class = CREDITED[base]
    changed.credit = CreditSettings(
        chosen.changed(options, own_predictor=predictor is not None),
        redistributor or (partial(LRPRedistributor, residual=Residual.SPREAD) if replays else DifferenceRedistributor),
        None if predictor is None else str(Path(predictor).resolve()),
        seed,
        interval,
        dict(actor_options or {}),
    )
    if not replays:
        changed.callbacks(callbacks_class=[*force_list(changed.callbacks_class), CreditOfSamples])
        changed.learners(learner_connector=LearnerConnectors(changed._learner_connector))
    return changed


_REPLAYING = {algorithm for algorithm in CREDITED if "replay_buffer_config" in vars(algorithm.get_default_config())}


def _base(config: AlgorithmConfig) -> type[Any]:
    """The algorithm of a config, if it can have credit."""
    name = config.algo_class.__name__ if config.algo_class else type(config).__name__
    if not (config.enable_rl_module_and_learner and config.enable_env_runner_and_connector_v2):
        raise ValueError(
            f"the config of {name} uses RLlib's old API stack, where learners see no episodes; change it with "
            "config.api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)"
        )
    if config.algo_class is not None and issubclass(config.algo_class, Credited):
        raise ValueError(f"the config of {name} has credit already; give with_credit the one without")
    if config.algo_class not in CREDITED:
        known = ", ".join(algorithm.__name__ for algorithm in CREDITED)
        raise ValueError(
            f"{name} does not learn from episodes that its EnvRunners sample for one agent as these do: {known}; use "
            "one of them"
        )
    if config.is_multi_agent:
        raise ValueError(
            f"the config of {name} has several agents, and which of them earned a shared return is not told; use it "
            "with one agent"
        )
    kind = (config.replay_buffer_config or {}).get("type") if config.algo_class in _REPLAYING else None
    if config.algo_class in _REPLAYING and kind not in REDISTRIBUTED:
        raise ValueError(
            f"replay buffer {kind!r} of {name} does not know whole episodes of one agent; use one of "
            f"{', '.join(REDISTRIBUTED)}"
        )
    return config.algo_class  # type: ignore[no-any-return]
