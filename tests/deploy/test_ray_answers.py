"""The messages between ingress and replica, without Ray."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Receive, Scope, Send

from deploy.ray.exchange import AppRequest, call
from deploy.ray.fleet_metrics import Page, merge_pages
from deploy.ray.held_answer import HeldAnswer
from deploy.ray.shared_load import SharedLoad

REQUEST = AppRequest("POST", "/", body=b"body")


def start(media_type: bytes) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type)]}


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_closing_a_call_is_the_hang_up_that_the_app_sees() -> None:
    seen: list[str] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["body"])
        await send(part(b"first", more=True))
        seen.append((await receive())["type"])

    async with aclosing(call(app, REQUEST)) as batches:
        assert await anext(batches) == [part(b"first", more=True)]
    assert seen == [b"body", "http.disconnect"]


async def test_what_an_app_raises_is_raised_after_what_it_sent() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(part(b"first", more=True))
        raise ValueError("a bug")

    async with aclosing(call(app, REQUEST)) as batches:
        assert await anext(batches) == [part(b"first", more=True)]
        with pytest.raises(ValueError, match="a bug"):
            await anext(batches)


async def test_a_plain_answer_goes_out_whole_and_a_stream_as_it_comes() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    plain, stream = HeldAnswer(send), HeldAnswer(send)
    for message in (start(b"application/json"), part(b"{", more=True)):
        await plain.add(message)
    assert (sent, plain.has_begun) == ([], False)
    await plain.add(part(b"}", more=False))
    assert [message.get("body") for message in sent] == [None, b"{", b"}"]
    await stream.add(start(b"text/event-stream; charset=utf-8"))
    assert (len(sent), stream.has_begun) == (3, False)
    await stream.add(part(b"event", more=True))
    assert (len(sent), stream.has_begun, stream.is_whole) == (5, True, False)


def test_the_pages_of_all_replicas_are_one_with_each_family_once() -> None:
    text = '# HELP rows_total Rows\n# TYPE rows_total counter\nrows_total{worker="0"} 2.0\n'
    page = merge_pages([Page("a", "x", text), Page("b", "x", text), Page("b", "y", text)]).decode()
    assert page.count("# TYPE rows") == 1
    (family,) = text_string_to_metric_families(page)
    labels = [(each.labels["replica"], each.labels["checkpoint"], each.labels["worker"]) for each in family.samples]
    assert labels == [("a", "x", "0"), ("b", "x", "0"), ("b", "y", "0")]


class FakeResident:
    def __init__(self) -> None:
        self.num_using = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self.num_using += 1
        yield
        self.num_using -= 1


async def test_a_load_is_shared_in_use_from_its_end_on_and_outlives_who_hangs_up() -> None:
    resident, is_loaded, is_over, num_loads = FakeResident(), asyncio.Event(), asyncio.Event(), []

    async def find() -> FakeResident:
        num_loads.append(1)
        await is_loaded.wait()
        return resident

    load = SharedLoad(find, on_over=is_over.set)  # type: ignore[arg-type]
    with ExitStack() as stack, ExitStack() as gone:
        impatient = asyncio.create_task(load.join(gone))
        waiting = [asyncio.create_task(load.join(stack)) for _ in range(3)]
        await asyncio.sleep(0)  # each of them runs as far as it can
        impatient.cancel()
        is_loaded.set()
        assert await asyncio.gather(*waiting) == [resident] * 3
        await is_over.wait()
        assert (resident.num_using, len(num_loads)) == (3, 1)
    assert resident.num_using == 0
    assert impatient.cancelled()


async def test_all_who_wait_are_told_that_a_load_failed() -> None:
    async def find() -> FakeResident:
        raise ValueError("no such checkpoint")

    is_over = asyncio.Event()
    load = SharedLoad(find, on_over=is_over.set)  # type: ignore[arg-type]
    with ExitStack() as stack:
        errors = await asyncio.gather(load.join(stack), load.join(stack), return_exceptions=True)
    assert [str(error) for error in errors] == ["no such checkpoint"] * 2
    await is_over.wait()
