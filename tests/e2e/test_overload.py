"""A full queue, a request that can never fit it, and a deadline that passes: overload is a status, decided quickly."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.client import request_body
from tests.support.problems import EITHER_WAY, check_problem, post
from tests.support.server import ONE_ROW, RunningServer, running_server


@pytest.fixture(scope="module")
def small_queue_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("small-queue"), {**ONE_ROW, "MAX_QUEUE_TOKENS": 60}) as server:
        yield server


async def test_a_full_queue_refuses_some_and_serves_the_others(small_queue_server: RunningServer) -> None:
    texts = [f"My brother bought {index} old books at the market." for index in range(40)]
    bodies = [request_body(text, "en", "de", stream=index % 2 == 0) for index, text in enumerate(texts)]
    async with small_queue_server.async_client() as client:
        answers = await asyncio.gather(*(client.post("/v1/translations", json=body) for body in bodies))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < len(answers)
    for answer in refused:
        check_problem(answer, 429, "queue-full")
        assert int(answer.headers["retry-after"]) >= 1
    assert small_queue_server.metric("kakehashi_refused_total", reason="queue-full") == len(refused)
    assert small_queue_server.metric("kakehashi_requests_total", outcome="refused", endpoint="/v1/translations") == len(
        refused
    )
    assert small_queue_server.metric("kakehashi_requests_total", outcome="ok", endpoint="/v1/translations") == 40 - len(
        refused
    )
    small_queue_server.wait_idle()


@EITHER_WAY
def test_what_could_never_fit_the_queue_is_too_large(small_queue_server: RunningServer, stream: bool) -> None:
    body = request_body("The cat is on the table. " * 30, "en", "de", stream=stream)
    assert "60" in check_problem(post(small_queue_server, body), 413, "too-large")["detail"]


def test_a_deadline_that_passes_is_504(one_row_server: RunningServer) -> None:
    before = one_row_server.metric("kakehashi_requests_total", outcome="timeout")
    with one_row_server.frozen():
        answer = post(one_row_server, request_body("The cat is on the table.", "en", "de", timeout_s=0.3))
    check_problem(answer, 504, "deadline-exceeded")
    one_row_server.wait_idle()
    assert one_row_server.metric("kakehashi_requests_total", outcome="timeout") == before + 1


def test_a_deadline_that_passes_in_a_stream_is_its_last_event(one_row_server: RunningServer) -> None:
    before = one_row_server.metric("kakehashi_requests_total", outcome="timeout")
    with one_row_server.frozen():
        events = one_row_server.stream("The cat is on the table.", "en", "de", timeout_s=0.3)
    assert events[0].name == "start"
    assert [event.name for event in events if event.name in ("done", "error")] == ["error"]
    problem = events[-1].data
    assert (events[-1].name, problem["status"]) == ("error", 504)
    assert problem["type"] == "urn:kakehashi:problem:deadline-exceeded"
    assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
    one_row_server.wait_idle()
    assert one_row_server.metric("kakehashi_requests_total", outcome="timeout") == before + 1


def test_a_short_request_that_comes_after_a_long_one_ends_before_it(
    one_row_server: RunningServer, long_text: str
) -> None:
    with one_row_server.open_stream(long_text[:4_000], "en", "de") as events:
        next(event for event in events if event.name == "token")
        one_row_server.text("The cat is on the table.", "en", "de")
        assert one_row_server.metric("kakehashi_requests_waiting") > 0
        assert [event.name for event in events][-1] == "done"
