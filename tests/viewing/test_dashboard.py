"""A run's page in TensorBoard: the guide, the settings, and charts of numbers that are written."""

from __future__ import annotations

from unittest.mock import create_autospec

from torch.utils.tensorboard import SummaryWriter

from rudder_lrp.viewing.dashboard import GUIDE, describe_run


def test_a_run_says_how_to_read_it_and_what_it_was_made_with() -> None:
    writer = create_autospec(SummaryWriter, instance=True)
    describe_run(writer, {"seed": 3, "algorithm": "PPO"})
    (guide, settings), (layout,) = writer.add_text.call_args_list, writer.add_custom_scalars.call_args_list
    assert guide.args == ("how to read this", GUIDE)
    assert settings.args == ("settings", "| setting | value |\n| --- | --- |\n| seed | 3 |\n| algorithm | PPO |")
    assert list(layout.args[0]) == ["learning", "predictor", "price"]
