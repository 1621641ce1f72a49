"""RLlib through its own doors: episodes, connectors, callbacks and checkpoints of its new API stack."""

try:
    import ray.rllib  # noqa: F401
except ImportError as error:
    raise ImportError('rudder_lrp.rllib needs Ray: pip install "rudder-lrp[rllib]"') from error

from rudder_lrp.rllib.algorithms import CreditedAPPO, CreditedDQN, CreditedIMPALA, CreditedPPO, CreditedSAC
from rudder_lrp.rllib.config import with_credit

__all__ = ["CreditedAPPO", "CreditedDQN", "CreditedIMPALA", "CreditedPPO", "CreditedSAC", "with_credit"]
