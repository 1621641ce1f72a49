from __future__ import annotations

import logging
import os
import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.persistence.journal import LessonJournal, read_journal
from tests.damage import damaged


def lessons(count: int = 5, width: int = 3) -> list[Lesson]:
    rng = np.random.default_rng(0)
    return [Lesson(rng.normal(size=(n + 1, width)).astype(np.float32), rng.normal(size=n + 1)) for n in range(count)]


def written(path: Path, count: int = 5) -> bytes:
    journal = LessonJournal(path)
    for lesson in lessons(count):
        journal.append(lesson)
    journal.close()
    return path.read_bytes()


def assert_first(found: list[Lesson], expected: list[Lesson]) -> None:
    for one, two in zip(found, expected, strict=False):
        np.testing.assert_array_equal(one.features, two.features)
        np.testing.assert_array_equal(one.rewards, two.rewards)


def test_lessons_come_back_as_they_were_written(tmp_path) -> None:
    written(tmp_path / "journal")
    found = list(read_journal(tmp_path / "journal"))
    assert len(found) == 5
    assert_first(found, lessons())
    assert list(read_journal(tmp_path / "no such file")) == []


def test_a_whole_journal_is_read_and_continued_without_a_word(tmp_path, caplog) -> None:
    path = tmp_path / "run" / "of today" / "journal"
    written(path, 2)
    with caplog.at_level(logging.DEBUG), closing(LessonJournal(path)) as journal:
        journal.append(lessons()[2])
        assert len(list(read_journal(path, keep_damaged=True))) == 3
    assert not caplog.records
    assert [one.name for one in path.parent.iterdir()] == ["journal"]


def test_a_lesson_is_in_the_file_before_append_returns(tmp_path) -> None:
    with closing(LessonJournal(tmp_path / "journal")) as journal:
        for count, lesson in enumerate(lessons(), start=1):
            journal.append(lesson)
            assert len(list(read_journal(tmp_path / "journal"))) == count


DAMAGE = {
    "zeros": bytes(64),
    "impossible length": struct.pack("<III", 2**32 - 1, 2**32 - 1, 7),
    "long as the disk": struct.pack("<QI", 2**62, 7),
    "no features": struct.pack("<III", 1, 0, 0) + bytes(8),
    "half a header": b"\x01\x00",
}


@pytest.mark.parametrize("end", DAMAGE.values(), ids=DAMAGE.keys())
def test_all_before_a_damage_comes_back_and_a_warning_says_what_was_left_out(tmp_path, caplog, end) -> None:
    path = tmp_path / "journal"
    path.write_bytes(written(path) + end)
    with caplog.at_level(logging.WARNING):
        found = list(read_journal(path, keep_damaged=True))
    assert_first(found, lessons())
    assert len(found) == 5
    assert f"damaged after lesson 5: the last {len(end)} of its" in caplog.text
    assert path.with_name("journal.damaged").read_bytes() == path.read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_and_no_cut_yields_a_lesson_that_was_not_written(tmp_path, data) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    path.write_bytes(data.draw(damaged(written(path))))
    found = list(read_journal(path))
    assert len(found) < 5
    assert_first(found, lessons())


def test_a_record_that_is_whole_and_no_lesson_ends_the_journal(tmp_path) -> None:
    path = tmp_path / "journal"
    poisoned = lessons()[1]
    poisoned.features[0, 0] = np.nan
    with closing(LessonJournal(path)) as journal:
        for lesson in (lessons()[0], poisoned, lessons()[2]):
            journal.append(lesson)
    assert len(list(read_journal(path))) == 1


def test_a_damaged_journal_is_continued_after_its_last_whole_lesson_and_kept(tmp_path) -> None:
    path = tmp_path / "journal"
    damaged = written(path, 3) + b"torn"
    path.write_bytes(damaged)
    with closing(LessonJournal(path)) as journal:
        journal.append(lessons()[3])
    found = list(read_journal(path))
    assert len(found) == 4
    assert_first(found, lessons())
    assert path.with_name("journal.damaged").read_bytes() == damaged


def test_of_every_damage_one_copy_is_kept(tmp_path) -> None:
    path = tmp_path / "journal"
    damaged = [written(path, 1) + b"torn", written(tmp_path / "other", 2) + b"torn again"]
    for data in damaged:
        path.write_bytes(data)
        for _ in range(2):
            list(read_journal(path, keep_damaged=True))
        LessonJournal(path).close()
    assert sorted(copy.read_bytes() for copy in tmp_path.glob("journal.damaged*")) == sorted(damaged)


def test_what_is_no_journal_is_neither_read_nor_lost(tmp_path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"something that somebody wrote before")
    assert list(read_journal(path)) == []
    with closing(LessonJournal(path)) as journal:
        journal.append(lessons()[0])
    assert path.with_name("journal.damaged").read_bytes() == b"something that somebody wrote before"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        list(read_journal(tmp_path / "pipe"))


def test_a_full_disk_leaves_whole_lessons_and_later_ones_are_written_again(tmp_path) -> None:
    class Full:
        def __init__(self, file) -> None:
            self.file, self.left = file, 30

        def write(self, data) -> int:
            if self.left == 0:
                raise OSError(28, "No space left on device")
            taken = self.file.write(data[: self.left])
            self.left -= taken
            return taken

        def __getattr__(self, name):
            return getattr(self.file, name)

    path = tmp_path / "journal"
    journal = LessonJournal(path)
    journal.append(lessons()[0])
    before = path.read_bytes()
    file, journal._file = journal._file, Full(journal._file)
    with pytest.raises(OSError, match="No space left"):
        journal.append(lessons()[1])
    assert path.read_bytes() == before
    journal._file = file
    journal.append(lessons()[1])
    journal.close()
    found = list(read_journal(path))
    assert len(found) == 2
    assert_first(found, lessons())
