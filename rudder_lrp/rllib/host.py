"""The predictor's actor as the algorithm has it: started, watched, saved and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.rllib.utils.checkpoints import Checkpointable
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rudder_lrp.prediction.device import Device
from rudder_lrp.rllib.actor import PredictorActor
from rudder_lrp.rllib.settings import CreditSettings, Spaces

_ATTEMPTS = 60
_PAUSE = 1.0  # seconds between two of them: a process that was killed is back within a few


def _needed(settings: CreditSettings) -> dict[str, Any]:
    """Options of the actor, a GPU among them if its predictor is to compute there."""
    options = dict(settings.actor_options)
    if settings.credit.device is Device.CUDA:
        options.setdefault("num_gpus", 1)
        if not ray.cluster_resources().get("GPU"):
            raise ValueError(
                "device 'cuda' is not there: no machine of this Ray cluster has a GPU; use device='cpu', or start Ray "
                "where there is one"
            )
    return options


class PredictorHost(Checkpointable):
    """Starts the predictor's actor on the algorithm's own machine, where its files are, and again whenever it dies.

    Args:
        settings: of the run.
        spaces: of observations, as episodes hold them, and of actions.
        folder: on this machine, where the actor keeps lessons and checkpoints.

    Raises:
        FileNotFoundError: if the predictor's file is not there.
        ValueError: if the file is damaged or was made for other spaces, or no machine has the GPU it needs.
    """

    def __init__(self, settings: CreditSettings, spaces: Spaces, folder: Path) -> None:
        settings.copy(spaces)  # refuses here what would fail in another process
        self._arguments = (settings, spaces, folder)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here, **_needed(settings)}
        actor_class = ray.remote(PredictorActor).options(name=settings.actor, **options)
        self._actor = actor_class.remote(settings, spaces, folder, ray.put)
        self._progress: dict[str, float] = ray.get(self._actor.progress.remote())
        self._asked: ray.ObjectRef | None = None

    def progress(self) -> dict[str, float]:
        """How the predictor does, by name; what was last heard of it, while it is busy or away."""
        if self._asked is None:
            self._asked = self._actor.progress.remote()
        if ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            with suppress(RayError):
                self._progress = ray.get(asked)
        return self._progress

    def stop(self) -> None:
        """End the actor for good."""
        ray.kill(self._actor)

    def get_state(self, components: Any = None, *, not_components: Any = None, **_: Any) -> dict[str, Any]:
        """Files of a checkpoint by name, see `PredictorActor.get_state`."""
        state: dict[str, Any] = self._insist(lambda: self._actor.get_state.remote())
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` returned.

        Raises:
            ValueError: if a file is damaged, or was made for another predictor.
        """
        self._insist(lambda: self._actor.set_state.remote(state))

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What `__init__` was given."""
        return self._arguments, {}

    def _insist(self, ask: Callable[[], ray.ObjectRef]) -> Any:
        """An answer of the actor, even if it has to be started again first."""
        for attempt in range(_ATTEMPTS):
            try:
                return ray.get(ask())
            except RayTaskError as error:
                raise error.cause from None
            except RayError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE)
        raise AssertionError("unreachable")
