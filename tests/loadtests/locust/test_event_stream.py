"""Laws of how the load tests read a stream: only `done` makes it whole, and tokens are counted when they come."""

import pytest

from loadtests.locust.event_stream import EventStream, problem_title, waits

START = b'event: start\ndata: {"id":"tr-1"}\n\n'
TOKEN = b'event: token\ndata: {"text":"done"}\n\n'
DONE = b'event: done\ndata: {"usage":{}}\n\n'
ERROR = b'event: error\ndata: {"title":"Deadline passed","status":504,"request_id":"tr-1"}\n\n'
COMMENT = b": \n\n"


def read(*events: bytes) -> EventStream:
    stream = EventStream()
    for now, event in enumerate(events):
        stream.take(event, now=float(now))
    return stream


def test_a_stream_with_done_is_whole_and_its_tokens_have_their_times():
    stream = read(COMMENT, START, TOKEN, COMMENT, TOKEN, DONE, COMMENT)
    assert (stream.failure(), stream.token_times) == ("", [2.0, 4.0])


@pytest.mark.parametrize(
    ("events", "failure"),
    [
        ([], "a stream without done"),
        ([COMMENT], "a stream without done"),
        ([START, TOKEN, TOKEN], "a stream without done"),
        ([START, TOKEN, DONE, TOKEN], "a stream without done"),
        ([START, TOKEN, ERROR], "event: error: Deadline passed"),
        ([START, b"event: error\ndata: oops\n\n"], "event: error: not a problem object"),
    ],
)
def test_any_other_end_is_a_failure_with_its_reason(events: list[bytes], failure: str):
    assert read(*events).failure() == failure


def test_tokens_that_come_together_are_waited_for_once():
    assert waits([1.0, 1.0001, 1.0004, 1.5, 1.5002, 3.0]) == pytest.approx([0.4996, 1.4998])
    assert waits([1.0]) == waits([]) == []


def test_a_title_is_all_that_is_told_of_a_problem():
    assert problem_title(b'{"title":"Queue full","status":429,"request_id":"tr-2"}') == "Queue full"
    assert problem_title(b"<html>") == problem_title(b"[]") == problem_title(b"{}") == "not a problem object"
