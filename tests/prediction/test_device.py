from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rudder_lrp import REPLAYED, CreditConfig, DifferenceRedistributor, LRPRedistributor, ReturnPredictor
from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.device import Device
from rudder_lrp.prediction.predictor import Head
from rudder_lrp.prediction.quality import Target, losses
from rudder_lrp.prediction.subsets import Subsets
from rudder_lrp.prediction.training import Trainer, subsets_error
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution import ContributionStream
from rudder_lrp.redistribution.causal import CausalCredit
from tests.conftest import SPACES, make_episode

aten = torch.ops.aten
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch finds")


_OF_TWO_DEVICES = (aten._to_copy.default, aten.copy_.default, aten._pack_padded_sequence.default)
"""Operations that take tensors of several devices on a GPU, too; lengths of sequences are always on the CPU."""


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices, as a GPU would; stands in for one by tensors without values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        options = kwargs or {}
        to = torch.device(options.get("device") or "meta").type
        if func is aten._to_copy.default and args[0].is_meta and to != "meta":
            return torch.zeros(args[0].shape, dtype=options.get("dtype") or args[0].dtype)
        if func is aten._local_scalar_dense.default and args[0].is_meta:
            return 0
        tensors = [one for one in tree_leaves((args, options)) if isinstance(one, torch.Tensor)]
        devices = {one.device.type for one in tensors if one.dim() or one.is_meta}
        if func not in _OF_TWO_DEVICES and len(devices) > 1:
            raise AssertionError(f"{func} of {devices}")
        return func(*args, **options)


@pytest.fixture(params=Structure)
def elsewhere(request):
    """A predictor whose network is on another device than everything else."""
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=request.param, hidden_size=8, members=2)
    return predictor.move_(torch.device("meta"))


def test_subsets_are_learnt_from_on_one_device_at_a_time() -> None:
    buffer = LessonBuffer(holdout_every=1000)
    for seed in range(3):
        buffer.add(lesson(8, seed))
    subsets = Subsets.draw(buffer.training, 4, np.random.default_rng(0))
    predictor = ReturnPredictor.for_spaces(
        *SPACES, structure=Structure.ACCUMULATOR, hidden_size=8, members=2, clock=0
    ).move_(torch.device("meta"))
    with OneDevice():
        subsets_error(predictor, subsets, torch.ones(3)).backward()
    assert predictor.lstm.weight_ih_l0.grad.is_meta


def test_the_stand_in_refuses_a_mixture_of_devices() -> None:
    with OneDevice(), pytest.raises(AssertionError, match=r"aten.add.Tensor of"):
        torch.zeros(2, device="meta") + torch.zeros(2)


def test_training_touches_one_device_at_a_time(elsewhere) -> None:
    batch = LessonBatch.collate([lesson(6), lesson(4)])
    with OneDevice():
        losses(elsewhere, batch, Target.LAST, tuple(Head))[Head.SHARE].last.mean().backward()
        elsewhere.constrain_()
    assert elsewhere.lstm.weight_ih_l0.grad.is_meta
    assert elsewhere.device.type == "meta"


def test_stepping_and_redistributing_touch_one_device_at_a_time_and_end_on_the_cpu(elsewhere) -> None:
    width = len(elsewhere.features)
    with OneDevice():
        stream = ContributionStream(elsewhere, 2)
        assert stream.step(np.zeros((2, width), np.float32)).shape == (2,)
        stream.restart(np.array([True, False]))
        stream.replay(np.zeros((2, 3, width), np.float32), np.array([3, 0]))
        redistributor = DifferenceRedistributor(elsewhere)
        given = torch.zeros(2, 5, width), torch.tensor([5, 3])
        for found in (redistributor.contributions, redistributor.deviation, redistributor.predictions):
            assert found(*given).device.type == "cpu"


def test_weights_are_the_same_on_every_device() -> None:
    one, other = (ReturnPredictor.for_spaces(*SPACES, hidden_size=8, members=2, seed=3) for _ in range(2))
    state = torch.random.get_rng_state()
    other.reset_(0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"device 'cuda' is not there; PyTorch finds .*cpu: name one"):
        CausalCredit.for_spaces(*SPACES, 1, CreditConfig(device="cuda"))
    with pytest.raises(ValueError, match="'gpu' is not a valid Device"):
        CreditConfig(device="gpu")


def test_auto_is_whatever_there_is() -> None:
    assert Device.AUTO.found().type in ("cpu", "cuda", "mps")
    credit = CausalCredit.for_spaces(*SPACES, 1, CreditConfig(device="auto"))
    assert credit.online.predictor.device == Device.AUTO.found()


def lesson(steps: int, seed: int = 0) -> Lesson:
    features = ReturnPredictor.for_spaces(*SPACES, hidden_size=4, members=1).features
    return Lesson.from_episode(make_episode(np.random.default_rng(seed + steps), steps), features)


@needs_cuda
@pytest.mark.parametrize("structure", Structure)
def test_a_gpu_redistributes_as_the_cpu_does(structure) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, hidden_size=8, members=2)
    predictor.return_scale.fill_(2.0)
    lessons = [lesson(steps) for steps in (3, 9, 20)]
    for build in (DifferenceRedistributor, LRPRedistributor, lambda p: LRPRedistributor(p, hindsight=True)):
        expected = build(predictor.move_(torch.device("cpu"))).redistribute(lessons)
        found = build(predictor.move_(torch.device("cuda"))).redistribute(lessons)
        for one, other, of in zip(found, expected, lessons, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
            assert one.sum() == pytest.approx(of.episode_return)


@needs_cuda
@pytest.mark.parametrize(
    "config", [TrainingConfig(updates=20), replace(REPLAYED.training, updates=20)], ids=["whole lessons", "subsets"]
)
def test_a_gpu_trains_a_predictor_whose_file_the_cpu_reads(config, tmp_path) -> None:
    buffer = LessonBuffer()
    for seed in range(40):
        buffer.add(lesson(8, seed))
    options = {"structure": Structure.ACCUMULATOR, "clock": 0} if config.subset else {}
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=8, members=2, **options).move_(torch.device("cuda"))
    for one in buffer.training:
        predictor.normalizer.update(one.features)
    Trainer(predictor, config).train(buffer)
    assert predictor.device.type == "cuda"
    loaded = ReturnPredictor.load(predictor.save(tmp_path / "predictor.safetensors"), *SPACES)
    features = torch.from_numpy(buffer.training[0].features)[None]
    torch.testing.assert_close(loaded(features), predictor(features).cpu(), atol=1e-4, rtol=1e-3)
