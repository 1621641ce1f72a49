"""Layer-wise relevance propagation through whole recurrent models, `torch.nn.LSTM` and `torch.nn.GRU`."""

from rudder_lrp.lrp.attribution import LRP
from rudder_lrp.lrp.layer_rules import LayerRule
from rudder_lrp.lrp.ledger import Ledger, ModelLedger
from rudder_lrp.lrp.recurrent import Explanation
from rudder_lrp.lrp.rules import GateRule, LinearRule

__all__ = ["LRP", "Explanation", "GateRule", "LayerRule", "Ledger", "LinearRule", "ModelLedger"]
