"""The files of an online predictor: written one by one, read all or not at all."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.storage import DamagedFileError, read_tensors, write_tensors

_KIND = "online predictor 4"
_PREDICTOR, _LESSONS, _TRAINING = "predictor.safetensors", "lessons.safetensors", "training.safetensors"


@plain_torch()
def write_online(checkpoint: Path, online: OnlinePredictor) -> None:
    """Write predictor, normalisation, lessons, optimizer and counters into a folder."""
    online.predictor.save(checkpoint / _PREDICTOR)
    online.lessons.save(checkpoint / _LESSONS)
    tensors, counters = online.state()
    write_tensors(checkpoint / _TRAINING, tensors, _KIND, counters)


@plain_torch()
def read_online(checkpoint: Path, online: OnlinePredictor) -> Callable[[], None]:
    """Read and check what `write_online` wrote, and change nothing yet.

    Returns:
        What takes it over, and cannot fail: all of it was done on a copy before.

    Raises:
        FileNotFoundError: if a file is missing.
        DamagedFileError: if a file is not as it was written, or says what cannot be.
        ValueError: if a file was made for other spaces, for another LSTM, or by another version.
    """
    features = online.predictor.features
    predictor = ReturnPredictor.load(checkpoint / _PREDICTOR, features.observation_space, features.action_space)
    _check_shape(checkpoint, predictor, online.predictor)
    lessons = online.lessons.empty_copy()
    lessons.load(checkpoint / _LESSONS, width=len(features))
    tensors, counters = read_tensors(checkpoint / _TRAINING, _KIND)

    def take_over(online: OnlinePredictor) -> None:
        online.predictor.load_state_dict(predictor.state_dict())
        online.restore(tensors, counters)

    _rehearse(checkpoint / _TRAINING, online, take_over)

    def apply() -> None:
        take_over(online)
        online.lessons.adopt(lessons)

    return apply


def _rehearse(path: Path, online: OnlinePredictor, take_over: Callable[[OnlinePredictor], None]) -> None:
    # Lessons may be large and listeners hold files: the copy has neither.
    stand_ins = {id(online.lessons): online.lessons.empty_copy(), id(online.listeners): []}
    copy = deepcopy(online, stand_ins)
    try:
        take_over(copy)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        raise DamagedFileError(
            f"{path} is damaged ({type(error).__name__}: {error}); restore it or train anew"
        ) from error


def _check_shape(checkpoint: Path, saved: ReturnPredictor, own: ReturnPredictor) -> None:
    found, wanted = (
        (
            p.structure.value,
            p.lstm.hidden_size,
            p.features.encoding.value,
            p.members,
            len(p.clock.rates),
            len(p.features),
        )
        for p in (saved, own)
    )
    if found != wanted:
        raise ValueError(
            f"the predictor in {checkpoint} has a {found[0]} LSTM of {found[1]} cells on the {found[2]} encoding, this "
            f"one a {wanted[0]} LSTM of {wanted[1]} cells on the {wanted[2]} encoding (members "
            f"{found[3]}, {wanted[3]}; clock {found[4]}, {wanted[4]}); resume with the predictor's options of "
            "the run that was saved"
        )
