from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rudder_lrp.episodes.lessons import LessonBatch
from rudder_lrp.lstm import Structure, structure_of
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from tests.conftest import SPACES


@pytest.fixture(params=list(Structure))
def predictor(request) -> ReturnPredictor:
    return ReturnPredictor.for_spaces(*SPACES, structure=request.param, hidden_size=8, seed=1).double()


def test_the_structure_holds_after_training_steps(predictor) -> None:
    optimizer = torch.optim.Adam(predictor.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        predictor(torch.randn(4, 6, len(predictor.features), dtype=torch.float64)).square().sum().backward()
        optimizer.step()
        predictor.constrain_()
    assert structure_of(predictor.lstm) is predictor.structure


def test_the_first_scale_leaves_the_weights_alone_since_nothing_was_predicted_before(predictor) -> None:
    features = torch.randn(2, 5, len(predictor.features), dtype=torch.float64)
    normalised = predictor(features)
    assert not predictor.in_return_units(normalised).any()
    predictor.rescale_(mean=1e7, scale=1e-3)
    torch.testing.assert_close(predictor.in_return_units(predictor(features)), 1e7 + 1e-3 * normalised)


def test_members_see_nothing_of_each_other(predictor) -> None:
    features = torch.randn(2, 9, len(predictor.features), dtype=torch.float64)
    before = predictor.member_changes(features)
    with torch.no_grad():
        predictor.lstm.get_parameter("weight_ih_l0")[::8] += 1.0  # the first cell, which is the first member's
    after = predictor.member_changes(features)
    assert (before[..., 0] != after[..., 0]).any()
    torch.testing.assert_close(before[..., 1:], after[..., 1:], rtol=0, atol=0)


def test_the_prediction_is_the_mean_of_the_members(predictor) -> None:
    features = torch.randn(2, 9, len(predictor.features), dtype=torch.float64)
    for head in Head:
        predictor.read_with_(head)
        mean = predictor.member_changes(features).mean(dim=2)
        torch.testing.assert_close(predictor.changes(predictor(features)), mean, rtol=0, atol=1e-12)


def test_cells_that_cannot_be_shared_out_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match="10 cells cannot be shared out evenly among 4 members"):
        ReturnPredictor.for_spaces(*SPACES, hidden_size=10, members=4)


def test_rescaling_the_return_keeps_the_predictions(predictor) -> None:
    predictor.rescale_(mean=3.0, scale=0.5)
    features = torch.randn(2, 5, len(predictor.features), dtype=torch.float64)
    before = predictor.in_return_units(predictor(features))
    predictor.rescale_(mean=-120.0, scale=80.0)
    torch.testing.assert_close(predictor.in_return_units(predictor(features)), before, rtol=0, atol=1e-12)


def test_same_seed_same_weights_and_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one = ReturnPredictor.for_spaces(*SPACES, seed=5)
    assert torch.rand(1) == expected
    two = ReturnPredictor.for_spaces(*SPACES, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_saved_and_loaded_predictors_agree(tmp_path) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure="accumulator", hidden_size=8)
    predictor.normalizer.update(np.random.default_rng(0).normal(size=(9, len(predictor.features))).astype(np.float32))
    predictor.rescale_(5.0, 2.0)
    predictor.calibration.fill_(3.0)
    loaded = ReturnPredictor.load(predictor.save(tmp_path / "deep" / "predictor.safetensors"), *SPACES)
    features = torch.randn(2, 5, len(predictor.features))
    assert (loaded.structure, float(loaded.calibration)) == (Structure.ACCUMULATOR, 3.0)
    torch.testing.assert_close(
        loaded.in_return_units(loaded(features)), predictor.in_return_units(predictor(features)), rtol=0, atol=0
    )


def test_a_predictor_of_other_spaces_is_refused(tmp_path) -> None:
    path = ReturnPredictor.for_spaces(*SPACES).save(tmp_path / "predictor.safetensors")
    with pytest.raises(ValueError, match=r"action_space Discrete\(2\), not for Discrete\(4\)"):
        ReturnPredictor.load(path, SPACES[0], spaces.Discrete(4))


def test_damaged_foreign_and_missing_files_are_named(tmp_path) -> None:
    path = ReturnPredictor.for_spaces(*SPACES).save(tmp_path / "predictor.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        ReturnPredictor.load(path, *SPACES)
    with pytest.raises(FileNotFoundError, match="no return predictor 5 at"):
        ReturnPredictor.load(tmp_path / "nothing", *SPACES)


@pytest.mark.parametrize(("name", "value"), [("return_mean", 1e24), ("normalizer.mean", 1e36)])
def test_units_may_be_far_larger_than_any_weight_that_was_learnt(tmp_path, name, value) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    predictor.state_dict()[name].fill_(value)
    loaded = ReturnPredictor.load(predictor.save(tmp_path / "predictor"), *SPACES)
    assert torch.equal(loaded.state_dict()[name], predictor.state_dict()[name])
    predictor.readout.weight.fill_(1e7)
    with pytest.raises(ValueError, match=r"'readout.weight' is beyond what predictions can be made of"):
        ReturnPredictor.load(predictor.save(tmp_path / "predictor"), *SPACES)


def test_predictions_for_a_sequence_do_not_depend_on_the_batch(predictor) -> None:
    features = torch.randn(1, 7, len(predictor.features), dtype=torch.float64)
    padded = torch.zeros(3, 15, len(predictor.features), dtype=torch.float64)
    padded[1, :7] = features[0]
    torch.testing.assert_close(predictor(padded)[1, :7], predictor(features)[0], rtol=0, atol=1e-12)


def test_batches_pad_on_the_right(predictor) -> None:
    from rudder_lrp.episodes.lessons import Lesson

    width = len(predictor.features)
    lessons = [Lesson(np.ones((t, width), dtype=np.float32), np.full(t, 2.0)) for t in (2, 4)]
    batch = LessonBatch.collate(lessons)
    assert batch.features[0, :, 0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert (batch.lengths.tolist(), batch.returns.tolist()) == ([2, 4], [4.0, 8.0])


@pytest.mark.parametrize("members", [1, 2, 16])
def test_members_read_a_tenth_of_what_a_layer_of_their_own_cells_would(members) -> None:
    """`nn.Linear` draws from `U(-1 / sqrt(H), 1 / sqrt(H))`, and a member has `H / K` of the H cells."""
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=256, members=members, seed=0)
    bound = 0.1 * (members / 256) ** 0.5
    for head in predictor.heads.values():
        assert 0.95 * bound < float(head.get_parameter("weight").detach().abs().max()) <= bound


@pytest.mark.parametrize("structure", list(Structure))
def test_a_fresh_predictor_writes_little_and_expects_nothing(structure) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, hidden_size=64)
    i, f, g, _ = predictor.lstm.get_parameter("bias_ih_l0").detach().chunk(4)
    assert not predictor.lstm.get_parameter("bias_hh_l0").any()
    assert not g.any()
    assert all(not head.get_parameter("bias").any() for head in predictor.heads.values())
    if structure in (Structure.OUTPUT_GATED, Structure.ACCUMULATOR):
        assert i.unique().tolist() == [-3.0]
    else:
        assert f.min() >= 0.0
        assert torch.equal(i, -f)
        assert f.max() > 3.0
