from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.storage import DamagedFileError, read_tensors, write_tensors


def lesson(value: float, steps: int = 3) -> Lesson:
    rewards = np.zeros(steps)
    rewards[-1] = value
    return Lesson(np.full((steps, 2), value, dtype=np.float32), rewards)


def test_what_is_outstanding_shrinks_as_rewards_are_paid_but_never_shows_the_last_one() -> None:
    paid_on_the_way = Lesson(np.zeros((4, 1), dtype=np.float32), np.array([1.0, 0.0, 2.0, 5.0]))
    assert paid_on_the_way.outstanding.tolist() == [7.0, 7.0, 5.0, 5.0]
    assert lesson(3.0).outstanding.tolist() == [3.0, 3.0, 3.0]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.sampled_from([0.0, 0.1, -3.0]))
def test_what_is_outstanding_at_the_end_is_the_last_reward_itself_whatever_was_paid_before(paid, last) -> None:
    one = Lesson(np.zeros((len(paid) + 1, 1), np.float32), np.array([*paid, last]))
    assert one.outstanding[-1] == one.outstanding[-2] == last
    np.testing.assert_allclose(one.outstanding[0], one.rewards[1:].sum(), rtol=1e-12, atol=1e-12 * np.abs(paid).sum())


def test_one_of_every_five_lessons_is_held_out_and_the_bounds_are_kept() -> None:
    buffer = LessonBuffer(capacity=6, holdout_every=5, holdout_capacity=2)
    for value in range(40):
        buffer.add(lesson(value))
    assert len(buffer) == 6
    assert [held.episode_return // 5 for held in buffer.held_out] == [6.0, 7.0]


def test_lessons_are_held_out_from_each_of_five_environments_that_take_turns() -> None:
    buffer = LessonBuffer(capacity=1000, holdout_every=5, holdout_capacity=1000)
    for number in range(500):
        buffer.add(lesson(number % 5))
    assert {held.episode_return for held in buffer.held_out} == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert len(buffer.held_out) == 100


def test_the_oldest_lesson_makes_room() -> None:
    buffer = LessonBuffer(capacity=10, holdout_every=1000)
    for value in range(40):
        buffer.add(lesson(float(value)))
    latest = [value for value in range(40) if value not in {held.episode_return for held in buffer.held_out}][-10:]
    assert [kept.episode_return for kept in buffer.training] == latest


def test_all_lessons_are_drawn_alike() -> None:
    buffer = LessonBuffer(capacity=4, holdout_every=1000)
    for value in range(4):
        buffer.add(lesson(1000.0 * value))
    counts = np.bincount(np.concatenate(buffer.batches(100, 40)), minlength=4)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)


def test_a_batch_holds_lessons_of_similar_length() -> None:
    buffer = LessonBuffer(capacity=100, holdout_every=1000)
    for steps in range(1, 101):
        buffer.add(lesson(float(steps), steps))
    spans = [np.ptp([len(buffer.training[at]) for at in batch]) for batch in buffer.batches(10, 20)]
    assert np.mean(spans) < 20


def test_lessons_survive_saving(tmp_path) -> None:
    buffer = LessonBuffer(capacity=6)
    for value in range(12):
        buffer.add(lesson(value, steps=1 + value))
    restored = LessonBuffer(capacity=6)
    restored.load(buffer.save(tmp_path / "lessons.safetensors"))
    for before, after in ((buffer.training, restored.training), (buffer.held_out, restored.held_out)):
        assert [e.episode_return for e in before] == [e.episode_return for e in after]
        assert all(np.array_equal(a.features, b.features) for a, b in zip(before, after, strict=True))
    assert restored.seen == 12


@pytest.mark.parametrize("bounds", [(1, 2, 1), (2, 1, 1), (2, 2, 0)])
def test_a_useless_buffer_is_refused(bounds) -> None:
    with pytest.raises(ValueError, match="capacity >= 2, holdout_every >= 2 and holdout_capacity >= 1"):
        LessonBuffer(*bounds)
    LessonBuffer(2, 2, 1)


def test_a_buffer_without_lessons_survives_saving(tmp_path) -> None:
    restored = LessonBuffer()
    restored.add(lesson(1.0))
    restored.load(LessonBuffer().save(tmp_path / "lessons.safetensors"), width=2)
    assert (len(restored), len(restored.held_out), restored.seen) == (0, 0, 0)


@pytest.mark.parametrize(("capacity", "holdout_capacity"), [(3, 2), (20, 1)])
def test_a_smaller_buffer_takes_over_the_latest_lessons(tmp_path, capacity, holdout_capacity) -> None:
    buffer = LessonBuffer()
    for value in range(30):
        buffer.add(lesson(value))
    smaller = buffer.empty_copy()
    assert (len(smaller), smaller.seen) == (0, 0)
    smaller = LessonBuffer(capacity, holdout_capacity=holdout_capacity)
    smaller.load(buffer.save(tmp_path / "lessons.safetensors"))
    for kept, all_of_them in ((smaller.training, buffer.training), (smaller.held_out, buffer.held_out)):
        count = capacity if all_of_them is buffer.training else holdout_capacity
        assert [e.episode_return for e in kept] == [e.episode_return for e in all_of_them[-count:]]


def test_an_empty_copy_holds_out_and_draws_the_same_lessons() -> None:
    buffer = LessonBuffer(seed=3)
    copies = [buffer, buffer.empty_copy()]
    for value in range(40):
        for each in copies:
            each.add(lesson(value))
    first, second = ([kept.episode_return for kept in each.held_out] for each in copies)
    assert first == second
    np.testing.assert_array_equal(*(each.batches(2, 4) for each in copies))


def test_draws_go_on_after_saving_where_they_were(tmp_path) -> None:
    buffer, restored = LessonBuffer(seed=3), LessonBuffer(seed=4)
    for value in range(12):
        buffer.add(lesson(value))
    buffer.batches(3, 4)
    restored.load(buffer.save(tmp_path / "lessons.safetensors"))
    np.testing.assert_array_equal(buffer.batches(3, 4), restored.batches(3, 4))


def test_padding_of_a_batch_is_zero_and_its_returns_are_true() -> None:
    batch = LessonBatch.collate([lesson(2.0, 1), lesson(3.0, 3)])
    assert batch.features[:, :, 0].tolist() == [[2.0, 0.0, 0.0], [3.0, 3.0, 3.0]]
    assert batch.lengths.tolist() == [1, 3]
    assert batch.returns.tolist() == [2.0, 3.0]
    assert batch.outstanding.tolist() == [[2.0, 0.0, 0.0], [3.0, 3.0, 3.0]]


@pytest.mark.parametrize(("steps", "size"), [(10, 8), (200, 8), (500, 3), (5000, 2)])
def test_a_batch_of_long_lessons_is_smaller(steps, size) -> None:
    buffer = LessonBuffer(capacity=20)
    for _ in range(20):
        buffer.add(lesson(1.0, steps))
    assert {len(batch) for batch in buffer.batches(10, 8, most_steps=1600)} == {size}


def test_a_lesson_needs_as_many_rewards_as_steps() -> None:
    for shape, steps in (((3, 2), 2), ((0, 2), 0), ((3,), 3)):
        with pytest.raises(ValueError, match="a lesson needs features"):
            Lesson(np.zeros(shape, np.float32), np.zeros(steps))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"draws": {"state": 3}}, "'draws' is no state of a random generator"),
        ({"seen": 1}, "'seen' is 1, where a whole number from 5"),
        ({"held_out": 99}, "'held_out' is 99"),
        ({"lengths": torch.tensor([3, -1, 3, 3, 3])}, "'lengths' are no lengths of lessons"),
        ({"lengths": torch.tensor([3.0] * 5)}, "'lengths' are no lengths of lessons"),
        ({"features": torch.zeros(15)}, "'features' is"),
    ],
)
def test_lessons_that_cannot_be_are_refused_though_the_file_is_whole(tmp_path, change, says) -> None:
    buffer = LessonBuffer(capacity=6)
    for value in range(5):
        buffer.add(lesson(value, steps=3))
    tensors, header = read_tensors(buffer.save(tmp_path / "file"), "lessons 3")
    of_tensors = {name: value for name, value in change.items() if name in tensors}
    write_tensors(tmp_path / "file", tensors | of_tensors, "lessons 3", header | (change if not of_tensors else {}))
    before = LessonBuffer(capacity=6)
    with pytest.raises(DamagedFileError, match=says):
        before.load(tmp_path / "file")
    assert before.seen == len(before) == 0


DAMAGE = {
    "fewer were seen than are kept": lambda tensors, header: header.update(seen=11),
    "more are held out than there are": lambda tensors, header: header.update(held_out=13),
    "no draws": lambda tensors, header: header.update(draws={"bit_generator": "PCG64"}),
    "a length of nothing": lambda tensors, header: tensors["lengths"].__setitem__(0, 0),
    "lengths of another sum": lambda tensors, header: tensors["lengths"].add_(1),
    "lengths of no number": lambda tensors, header: tensors.update(lengths=tensors["lengths"].double()),
    "no rewards": lambda tensors, header: tensors.pop("rewards"),
    "no lengths": lambda tensors, header: tensors.pop("lengths"),
    "other rewards": lambda tensors, header: tensors.update(rewards=tensors["rewards"].float()),
    "another width": lambda tensors, header: tensors.update(features=torch.zeros(12, 3)),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_file_that_says_what_cannot_be_is_named_and_changes_nothing(tmp_path, damage) -> None:
    buffer = LessonBuffer()
    for value in range(12):
        buffer.add(lesson(value, steps=1))
    tensors, header = read_tensors(path := buffer.save(tmp_path / "lessons.safetensors"), "lessons 3")
    DAMAGE[damage](tensors, header)
    write_tensors(path, tensors, "lessons 3", header)
    own = LessonBuffer()
    own.add(lesson(7.0))
    with pytest.raises(DamagedFileError, match=r"lessons\.safetensors"):
        own.load(path, width=2)
    assert (own.seen, len(own) + len(own.held_out)) == (1, 1)
