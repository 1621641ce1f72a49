from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.denormals import are_flushed
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.quality import Target
from rudder_lrp.prediction.training import Trainer, fit
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from rudder_lrp.redistribution import DifferenceRedistributor
from tests.conftest import SPACES, make_episode


@pytest.mark.parametrize("structure", list(Structure))
def test_a_predictor_learns_a_return_that_the_steps_add_up_to(structure) -> None:
    # Six seeds explained 0.72 to 0.88, over all structures.
    explained = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        episodes = [make_episode(rng, int(rng.integers(5, 15))) for _ in range(400)]
        predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, seed=seed)
        explained.append(fit(predictor, episodes, TrainingConfig(updates=150)).explained_variance)
    assert np.median(explained) > 0.6


def test_what_is_predicted_may_be_said_in_words() -> None:
    config = TrainingConfig(target="outstanding", predicts="share")
    assert config.target is Target.OUTSTANDING
    assert config.predicts is Predicts.SHARE


def test_equal_returns_are_refused_with_a_remedy() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, 4, np.ones(4)) for _ in range(10)]
    with pytest.raises(ValueError, match=r"all 8 lessons have the same return \(4.0\).*exploration"):
        fit(ReturnPredictor.for_spaces(*SPACES), episodes)


def test_rewards_that_all_come_on_the_way_are_refused_unless_they_are_to_be_predicted() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, 4, np.array([0.0, 0.0, rng.normal(), 1.0])) for _ in range(10)]
    with pytest.raises(ValueError, match=r"same last reward \(1.0\).*'outstanding'"):
        fit(ReturnPredictor.for_spaces(*SPACES), episodes)
    fit(ReturnPredictor.for_spaces(*SPACES), episodes, TrainingConfig(updates=2, target=Target.OUTSTANDING))


def test_episodes_of_one_step_can_be_learnt_from() -> None:
    rng = np.random.default_rng(0)
    predictor = ReturnPredictor.for_spaces(*SPACES)
    fit(predictor, [make_episode(rng, 1) for _ in range(20)], TrainingConfig(updates=2))


def test_same_seed_same_training() -> None:
    def weights() -> torch.Tensor:
        rng = np.random.default_rng(0)
        predictor = ReturnPredictor.for_spaces(*SPACES, seed=4)
        fit(predictor, [make_episode(rng, 6) for _ in range(50)], TrainingConfig(updates=20))
        return torch.cat([p.detach().flatten() for p in predictor.parameters()])

    assert torch.equal(weights(), weights())


def lessons_of(n: int, episodes_seed: int = 0) -> LessonBuffer:
    rng, lessons = np.random.default_rng(episodes_seed), LessonBuffer()
    features = ReturnPredictor.for_spaces(*SPACES).features
    for _ in range(n):
        lessons.add(Lesson.from_episode(make_episode(rng, 4), features))
    return lessons


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_round_begins_with_a_share_of_the_weights_and_ends_at_rest(kept) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    trainer = Trainer(predictor, TrainingConfig(updates=9, kept=kept))
    rates: list[float] = []
    lessons = lessons_of(20)
    before = torch.zeros(())
    for number in range(2):
        trainer.train(lessons)
        assert trainer.optimizer.state_dict()["state"][0]["step"] == 9, "the optimizer is new, too"
        fresh = ReturnPredictor.for_spaces(*SPACES)
        fresh.reset_(number)
        begun = torch.lerp(fresh.lstm.get_parameter("weight_ih_l0"), before, kept if number else 0.0)
        gone = (predictor.lstm.get_parameter("weight_ih_l0") - begun).abs().max()
        assert 0.0 < gone < 0.1
        before = predictor.lstm.get_parameter("weight_ih_l0").detach().clone()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-2 / 9, 1e-2 / 9])
    assert torch.equal(fresh.heads["outlook"].get_parameter("weight") != 0, predictor.own_cells != 0)


def test_a_share_of_weights_beyond_all_of_them_is_refused() -> None:
    with pytest.raises(ValueError, match="within"):
        TrainingConfig(kept=1.5)


def test_a_round_that_goes_on_keeps_weights_optimizer_and_rate() -> None:
    trainer = Trainer(ReturnPredictor.for_spaces(*SPACES), TrainingConfig(updates=5, kept=1.0))
    for number in (1, 2):
        trainer.train(lessons_of(20))
        assert trainer.optimizer.state_dict()["state"][0]["step"] == 5 * number
        assert trainer.optimizer.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e-2, 1e6])
@pytest.mark.parametrize("offset", [0.0, -1e4, 1e4])
def test_neither_unit_nor_offset_of_the_return_changes_what_is_learnt(unit: float, offset: float) -> None:
    def credit(unit: float, offset: float) -> tuple[float, np.ndarray]:
        rng = np.random.default_rng(0)
        episodes = [make_episode(rng, 6) for _ in range(40)]
        for episode in episodes:
            episode.rewards[-1] = unit * (episode.rewards[-1] + offset)
        predictor = ReturnPredictor.for_spaces(*SPACES)
        quality = fit(predictor, episodes, TrainingConfig(updates=30))
        rewards = DifferenceRedistributor(predictor).redistribute(episodes[:5])
        return quality.explained_variance, np.stack(rewards)[:, 1:] / unit

    explained, rewards = credit(unit, offset)
    known, known_rewards = credit(1.0, 0.0)
    assert explained == pytest.approx(known, abs=0.02)
    np.testing.assert_allclose(rewards, known_rewards, atol=0.05 * np.abs(known_rewards).max())


@pytest.mark.parametrize(("offset", "spread"), [(1e6, 1e-9), (1e7, 1.0), (-1e-3, 1e-11)])
def test_returns_that_differ_by_rounding_alone_are_nothing_to_predict(offset: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, 4, np.append(np.zeros(3), offset + spread * rng.normal())) for _ in range(80)]
    with pytest.raises(ValueError, match="there is nothing to predict"):
        fit(ReturnPredictor.for_spaces(*SPACES), episodes)


@pytest.mark.parametrize("most", [1e-3, 0.1])
def test_no_update_follows_a_gradient_beyond_its_bound(most) -> None:
    """After one step the first moment of Adam is a tenth of the gradient, with the decay of the weights in it."""
    predictor = ReturnPredictor.for_spaces(*SPACES, members=4)
    trainer = Trainer(predictor, TrainingConfig(updates=1, max_gradient_norm=most, weight_decay=0.0))
    trainer.train(lessons_of(20))
    first = [state["exp_avg"] for state in trainer.optimizer.state_dict()["state"].values()]
    assert 10.0 * float(torch.cat([part.flatten() for part in first]).norm()) == pytest.approx(2.0 * most, rel=1e-3)


@pytest.mark.parametrize("structure", list(Structure))
def test_training_keeps_the_structure(structure) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure)
    Trainer(predictor, TrainingConfig(updates=3)).train(lessons_of(20))
    trained = {name: weight.clone() for name, weight in predictor.state_dict().items()}
    predictor.constrain_()
    for name, weight in predictor.state_dict().items():
        assert torch.equal(weight, trained[name]), name


def test_denormals_are_flushed_in_a_round_and_as_before_after_it(monkeypatch) -> None:
    seen: list[bool] = []
    update = Trainer._update
    monkeypatch.setattr(Trainer, "_update", lambda *a: seen.append(are_flushed()) or update(*a))
    for before in (False, True):
        torch.set_flush_denormal(before)
        Trainer(ReturnPredictor.for_spaces(*SPACES), TrainingConfig(updates=2)).train(lessons_of(10))
        assert are_flushed() is before
    torch.set_flush_denormal(False)
    assert seen == [True] * 4


def test_the_changes_of_a_prediction_sum_to_it_but_for_the_bias() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    predictions = predictor(torch.randn(3, 7, len(predictor.features)))
    torch.testing.assert_close(predictor.changes(predictions).sum(1), predictions[:, -1] - predictor.readout.bias)


@pytest.mark.parametrize(("batch_steps", "size"), [(40, 10), (20, 5), (1, 2)])
def test_an_update_takes_as_many_lessons_as_its_steps_allow(batch_steps, size, monkeypatch) -> None:
    seen: list[int] = []
    update = Trainer._update
    monkeypatch.setattr(
        Trainer, "_update", lambda self, batch, *a: seen.append(len(batch.lengths)) or update(self, batch, *a)
    )
    config = TrainingConfig(updates=3, batch_size=10, batch_steps=batch_steps)
    Trainer(ReturnPredictor.for_spaces(*SPACES), config).train(lessons_of(20))
    assert seen == [size] * 3
