"""Layer-wise relevance propagation through `torch.nn.LSTM`."""

from rudder_lrp.lrp.attribution import LRP, Explanation
from rudder_lrp.lrp.ledger import Ledger

__all__ = ["LRP", "Explanation", "Ledger"]
