"""Laws of a file of keys: changes are taken over, and a broken file changes nothing and is logged once."""

import logging
import os
from pathlib import Path

import pytest

from service.api.key_entries import ApiKeysError
from service.api.key_file import LOOK_SECONDS, KeyFile


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("alice:first\n")
    return path


def names_after(keys: KeyFile, clock: Clock, seconds: float = LOOK_SECONDS) -> list[str]:
    clock.now += seconds
    return [key.name for key in keys.current()]


def test_keys_are_added_and_revoked_without_a_restart(path: Path):
    clock = Clock()
    keys = KeyFile(path, clock=clock)
    path.write_text("alice:first\nbob:second\n")
    assert names_after(keys, clock, LOOK_SECONDS / 2) == ["alice"], "it is looked at once a second"
    assert names_after(keys, clock) == ["alice", "bob"]
    path.write_text("carol:third\n")
    assert names_after(keys, clock) == ["carol"]


def test_a_file_that_is_replaced_by_one_of_the_same_time_and_size_is_read(path: Path):
    clock = Clock()
    keys = KeyFile(path, clock=clock)
    other = path.with_name("other")
    other.write_text("carol:other\n")
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert names_after(keys, clock) == ["carol"]


@pytest.mark.parametrize("content", [b"", b"alice\n", b"\xff"], ids=["empty", "no key", "no text"])
def test_a_broken_file_leaves_the_keys_and_is_logged_once(path: Path, content: bytes, caplog: pytest.LogCaptureFixture):
    clock = Clock()
    keys = KeyFile(path, clock=clock)
    path.write_bytes(content)
    with caplog.at_level(logging.INFO):
        assert [names_after(keys, clock) for _ in range(3)] == [["alice"]] * 3
        (record,) = caplog.records
        assert (record.levelname, record.message.partition(":")[0]) == ("ERROR", "the API keys stay as they were")
        path.write_text("bob:second\n")
        assert names_after(keys, clock) == ["bob"]


def test_a_file_that_is_gone_leaves_the_keys_and_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture):
    clock = Clock()
    keys = KeyFile(path, clock=clock)
    path.unlink()
    assert [names_after(keys, clock) for _ in range(3)] == [["alice"]] * 3
    assert len(caplog.records) == 1


def test_a_file_that_is_broken_at_the_start_is_an_error(tmp_path: Path):
    with pytest.raises(ApiKeysError, match="cannot be read: No such file"):
        KeyFile(tmp_path / "nowhere")
