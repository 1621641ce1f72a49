"""Layer-wise relevance propagation through `torch.nn.LSTM`."""

from rudder_lrp.lrp.attribution import LRP, Explanation
from rudder_lrp.lrp.ledger import Ledger
from rudder_lrp.lrp.rules import GateRule, LinearRule

__all__ = ["LRP", "Explanation", "GateRule", "Ledger", "LinearRule"]
