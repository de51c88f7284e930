"""Laws of admission: the order of checks, the cost of a refusal, and the effect of a hang-up."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from service.errors import DrainingError
from tests.support.asgi import JSON, Exchange, as_json, call, post
from tests.support.scripted_app import LIMITS, ScriptedApp, scripted_app

TRANSLATE, STREAM, EXPLAIN = "/v1/translations", "/v1/translations/stream", "/v1/explain"
BODY = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
QUERY = b"text=Hello&source_lang=en&target_lang=de"
WORK = pytest.mark.parametrize(("method", "path"), [("POST", TRANSLATE), ("GET", STREAM), ("POST", EXPLAIN)])


def check_problem(answer: Exchange, status: int, slug: str) -> None:
    assert (answer.status, answer.json["type"]) == (status, f"urn:kakehashi:problem:{slug}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))


async def until_preparing(scripted: ScriptedApp, number: int) -> None:
    async with asyncio.timeout(10):
        while scripted.translator.num_preparing != number:
            await asyncio.sleep(0)


async def until_open(scripted: ScriptedApp, number: int) -> None:
    async with asyncio.timeout(10):
        while len(scripted.engine.open_specs) != number:
            await asyncio.sleep(0)


@WORK
async def test_the_gate_refuses_before_the_body_is_read(scripted: ScriptedApp, method: str, path: str):
    scripted.engine.queue_tokens = scripted.engine.max_queue_tokens
    answer = await Exchange(scripted.app, method, path, body=None).wait()
    check_problem(answer, 429, "queue-full")
    assert answer.num_received == 0


@WORK
async def test_draining_comes_before_readiness_and_that_before_the_queue(scripted: ScriptedApp, method: str, path: str):
    scripted.engine.queue_tokens = scripted.engine.max_queue_tokens
    scripted.engine.is_ready = False
    check_problem(await call(scripted.app, method, path), 503, "not-ready")
    scripted.lifecycle.start_draining()
    check_problem(await call(scripted.app, method, path), 503, "draining")


@WORK
async def test_requests_past_the_limit_are_refused_and_those_before_it_go_on(
    scripted: ScriptedApp, method: str, path: str
):
    scripted.translator.hold()
    served = [
        Exchange(scripted.app, "GET", STREAM, query=QUERY + b"&seed=%d" % seed) for seed in range(LIMITS.max_requests)
    ]
    await until_preparing(scripted, LIMITS.max_requests)
    check_problem(await call(scripted.app, method, path), 429, "queue-full")
    scripted.translator.release()
    for exchange in served:
        assert (await exchange.wait()).status == 200
    page = (await call(scripted.app, "GET", "/metrics")).body.decode()
    assert 'kakehashi_refused_total{reason="queue-full"} 1.0' in page


async def test_a_key_has_its_share_of_the_requests_however_many_another_one_sends():
    scripted = scripted_app(api_keys="alice:first,bob:second")
    scripted.translator.hold()

    def send(key: str) -> Exchange:
        seed = next(seeds)
        headers = {"Authorization": f"Bearer {key}"}
        return Exchange(scripted.app, "GET", STREAM, query=QUERY + b"&seed=%d" % seed, headers=headers)

    seeds, most = itertools.count(), LIMITS.max_requests
    served = [send("first") for _ in range(most)]
    await until_preparing(scripted, most)
    served += [send("second") for _ in range(most // 2)]
    await until_preparing(scripted, most + most // 2)
    for key in ("first", "second"):
        check_problem(await send(key).wait(), 429, "queue-full")
    scripted.translator.release()
    for exchange in served:
        assert (await exchange.wait()).status == 200


async def test_health_and_listings_answer_while_work_is_refused(scripted: ScriptedApp):
    scripted.engine.queue_tokens = scripted.engine.max_queue_tokens
    for path in ("/health/live", "/health/ready", "/v1/models", "/v1/languages", "/metrics"):
        assert (await call(scripted.app, "GET", path)).status == 200


async def test_a_full_queue_refuses_a_stream_before_its_first_byte(scripted: ScriptedApp):
    scripted.engine.queue_tokens = scripted.engine.max_queue_tokens - 1
    for answer in (
        await post(scripted.app, TRANSLATE, BODY | {"stream": True}),
        await post(scripted.app, EXPLAIN, BODY),
    ):
        check_problem(answer, 429, "queue-full")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hang_up_while_a_text_is_prepared_stops_that(scripted: ScriptedApp, stream: bool):
    scripted.translator.hold()
    exchange = Exchange(scripted.app, "POST", TRANSLATE, body=None, headers=JSON)
    exchange.send_body(as_json(BODY | {"stream": stream}))
    await until_preparing(scripted, 1)
    exchange.hang_up()
    await exchange.wait()
    assert scripted.is_idle()
    assert not scripted.engine.subscriptions
    assert 'outcome="cancelled"' in scripted.metrics.render().decode()


async def test_a_hang_up_within_the_body_ends_the_request(scripted: ScriptedApp):
    exchange = Exchange(scripted.app, "POST", TRANSLATE, body=None, headers=JSON)
    exchange.hang_up()
    await exchange.wait()
    assert 'outcome="cancelled"' in scripted.metrics.render().decode()


@pytest.mark.parametrize(
    ("options", "lingers"),
    [
        ({}, True),
        ({"beam_size": 4}, True),
        ({"temperature": 0.5, "seed": 3}, True),
        ({"temperature": 0.5}, False),
        ({"stream": True}, False),
    ],
)
async def test_only_what_a_retry_can_join_lingers_after_a_hang_up(options: dict[str, object], lingers: bool):
    scripted = scripted_app(limits=replace(LIMITS, retry_linger_seconds=0.01))
    scripted.engine.hold()
    exchange = Exchange(scripted.app, "POST", TRANSLATE, body=None, headers=JSON)
    exchange.send_body(as_json(BODY | options))
    await until_open(scripted, 1)
    exchange.hang_up()
    await exchange.wait()
    (subscription,) = scripted.engine.subscriptions
    assert subscription.linger_seconds == (0.01 if lingers else 0.0)
    assert bool(scripted.engine.open_specs) == lingers
    await until_open(scripted, 0)


async def test_an_answer_that_is_out_lingers_nowhere(scripted: ScriptedApp):
    await post(scripted.app, TRANSLATE, BODY)
    assert [each.linger_seconds for each in scripted.engine.subscriptions] == [0.0]


@WORK
async def test_the_deadline_counts_from_the_arrival(method: str, path: str):
    scripted = scripted_app(limits=replace(LIMITS, timeout_seconds=0.02))
    scripted.translator.hold()
    answer = await call(scripted.app, method, path, query=QUERY, body=as_json(BODY), headers=JSON)
    check_problem(answer, 504, "deadline-exceeded")
    assert scripted.is_idle()


async def test_a_deadline_that_the_characters_miss_is_refused_before_they_are_tokenized(scripted: ScriptedApp):
    long = BODY | {"text": " ".join(f"Hello, number {number}." for number in range(60))}
    assert (await post(scripted.app, TRANSLATE, long)).status == 200
    scripted.engine.tokens_in_time = 50
    scripted.translator.hold()
    check_problem(await post(scripted.app, TRANSLATE, long), 429, "deadline-unreachable")
    scripted.translator.release()
    assert (await post(scripted.app, TRANSLATE, BODY)).status == 200


async def test_a_request_can_only_shorten_the_servers_deadline():
    scripted = scripted_app(limits=replace(LIMITS, timeout_seconds=10.0))
    now = asyncio.get_running_loop().time()
    for timeout_s in (5.0, 1e300, None):
        await post(scripted.app, TRANSLATE, BODY | ({} if timeout_s is None else {"timeout_s": timeout_s}))
    assert [round((each.deadline or now) - now) for each in scripted.engine.subscriptions] == [5, 10, 10]


async def test_the_deadline_of_a_stream_that_nobody_reads_stops_its_decode(scripted: ScriptedApp):
    scripted.engine.hold()
    exchange = Exchange(scripted.app, "GET", STREAM, query=QUERY + b"&timeout_s=0.05")
    await until_open(scripted, 1)
    exchange.stop_reading()
    scripted.engine.release()  # its tokens wait for a client that takes none
    scripted.engine.hold()
    await until_open(scripted, 0)
    exchange.read_again()
    await exchange.wait()
    assert [event.name for event in exchange.events][-1] == "error"
    assert exchange.events[-1].data["status"] == 504


@pytest.mark.parametrize("stream", [False, True])
async def test_a_drain_that_runs_out_of_time_ends_what_runs(scripted: ScriptedApp, stream: bool):
    scripted.engine.hold()
    exchange = Exchange(scripted.app, "POST", TRANSLATE, body=as_json(BODY | {"stream": stream}), headers=JSON)
    await until_open(scripted, 1)
    scripted.lifecycle.start_draining()
    await scripted.engine.aclose()
    await exchange.wait()
    if stream:
        assert exchange.events[-1].data["status"] == 503
    else:
        check_problem(exchange, 503, "draining")


@pytest.mark.parametrize("header", ["no-store", "no-cache, No-Store"])
async def test_no_store_forbids_the_cache(scripted: ScriptedApp, header: str):
    await post(scripted.app, TRANSLATE, BODY, **{"cache-control": header})
    await post(scripted.app, TRANSLATE, BODY)
    assert [each.is_cacheable for each in scripted.engine.submitted] == [False, True]


def test_a_drain_is_announced_to_new_requests_only(scripted: ScriptedApp):
    with scripted.lifecycle.request():
        scripted.lifecycle.start_draining()
        with pytest.raises(DrainingError), scripted.lifecycle.request():
            raise AssertionError
        assert scripted.lifecycle.num_requests == 1
