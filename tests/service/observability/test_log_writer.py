"""Laws of the log's way out: nothing waits for it, and what it drops is counted."""

import logging
import os
import re
from collections.abc import Iterator

import pytest

from service.observability import log_writer
from service.observability.log_writer import LogWriter

LINE = "x" * 1000


class Pipe:
    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.dropped: list[int] = []
        self.writer = LogWriter(self.writing)
        self.writer.observe_drops(lambda: self.dropped.append(1))

    def log(self, number: int) -> None:
        for _ in range(number):
            self.writer.handle(logging.LogRecord("a", logging.INFO, __file__, 1, LINE, (), None))


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr(log_writer, "MAX_PENDING_BYTES", 200_000)
    pipe = Pipe()
    yield pipe
    os.close(pipe.reading)


def test_a_log_that_nobody_reads_stops_nothing_and_counts_what_it_drops(pipe: Pipe) -> None:
    pipe.log(1000)
    assert 1000 - (200_000 + 65_536 + 1000) // 1001 - 1 <= len(pipe.dropped) < 1000


def test_when_reading_goes_on_lines_say_how_many_were_dropped(pipe: Pipe) -> None:
    pipe.log(1000)
    received, told = b"", 0
    while told < len(pipe.dropped):
        received += os.read(pipe.reading, 1 << 16)
        told = sum(map(int, re.findall(rb"(\d+) lines of the log were dropped", received)))
    assert told == len(pipe.dropped)


def test_a_flush_waits_until_all_is_written(pipe: Pipe) -> None:
    pipe.log(10)
    pipe.writer.flush()
    assert os.read(pipe.reading, 1 << 16).count(b"\n") == 10
    assert not pipe.dropped


def test_a_flush_of_a_log_that_nobody_reads_ends(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "FLUSH_SECONDS", 0.05)
    pipe.log(1000)
    pipe.writer.flush()


def test_a_child_writes_in_a_thread_of_its_own(pipe: Pipe) -> None:
    pipe.log(1)
    pipe.writer.flush()
    if (child := os.fork()) == 0:
        pipe.log(1)
        pipe.writer.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(pipe.reading, 1 << 16).count(b"\n") == 2
