"""A hang-up, streaming or not, frees its slots long before the text is done."""

import asyncio

import pytest

from loadtests.bench.loopback import wait_until
from tests.support.client import raw_request, request_body, translate
from tests.support.oracle import sentences
from tests.support.server import RunningServer


def cancelled(server: RunningServer) -> float:
    return server.metric("kakehashi_requests_total", outcome="cancelled", endpoint="/v1/translations")


def num_waiting(server: RunningServer) -> float:
    return server.metric("kakehashi_requests_waiting")


@pytest.fixture(scope="module")
def num_tokens_of_a_sentence(one_row_server: RunningServer) -> int:
    usage = one_row_server.translate("The old man went to the market and bought some bread.", "en", "de")["usage"]
    return int(usage["generated_tokens"])


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_hang_up_frees_the_rows_and_is_counted(
    one_row_server: RunningServer, long_text: str, num_tokens_of_a_sentence: int, stream: bool
) -> None:
    server = one_row_server
    full_tokens = num_tokens_of_a_sentence * long_text.count(".")
    before, tokens_before = cancelled(server), server.metric("kakehashi_generated_tokens_total")
    async with raw_request(server.port, request_body(long_text, "en", "de", stream=stream)) as reader:
        if stream:
            await reader.readuntil(b"event: token")
        await asyncio.to_thread(server.wait_running)
    await asyncio.to_thread(server.wait_idle)
    await asyncio.to_thread(wait_until, lambda: cancelled(server) == before + 1, "the hang-up is counted")
    assert server.metric("kakehashi_generated_tokens_total") - tokens_before < full_tokens / 3
    assert server.text("Hello.", "en", "de")


async def test_a_hang_up_leaves_its_neighbours_alone(server: RunningServer, long_text: str) -> None:
    texts = sentences("en", most=20)
    expected = [server.text(text, "en", "de") for text in texts]
    async with server.async_client() as client:
        for index, (text, translated) in enumerate(zip(texts, expected, strict=True)):
            another = long_text.replace("bread", f"bread {index}")  # else it joins what lingers of the last
            async with raw_request(server.port, request_body(another, "en", "de")):
                pending = asyncio.create_task(translate(client, request_body(text, "en", "de")))
                await asyncio.to_thread(server.wait_running)
            assert await pending == translated
    await asyncio.to_thread(server.wait_idle)


def test_a_stream_left_before_its_end_is_cancelled(one_row_server: RunningServer, long_text: str) -> None:
    before = cancelled(one_row_server)
    with one_row_server.open_stream(long_text, "en", "de") as events:
        names = [next(events).name for _ in range(5)]
    assert names == ["start", *["token"] * 4]
    one_row_server.wait_idle()
    wait_until(lambda: cancelled(one_row_server) == before + 1, "the hang-up is counted")


async def test_what_waits_is_forgotten_when_its_client_hangs_up(one_row_server: RunningServer) -> None:
    server = one_row_server

    async def wait_waiting(number: int) -> None:
        await asyncio.to_thread(wait_until, lambda: num_waiting(server) == number, f"{number} sentences wait")

    with server.frozen():
        async with raw_request(server.port, request_body(["Good morning.", "Good night."], "en", "de")):
            await wait_waiting(2)
            async with raw_request(
                server.port, request_body([f"Room {number}." for number in range(100)], "en", ["fr", "de"])
            ):
                await wait_waiting(202)
            await wait_waiting(2)
        await wait_waiting(0)
    await asyncio.to_thread(server.wait_idle)
