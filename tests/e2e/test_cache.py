"""Law 9: a translation with the cache, without it, and with Redis gone is the same translation. On a real Redis."""

import asyncio
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.bench.loopback import wait_until
from loadtests.bench.redis_server import RedisServer, running_redis
from model.transformer.compute_types import ComputeType
from tests.support.client import NO_STORE, request_body, translate
from tests.support.oracle import Oracle, sentences
from tests.support.server import RunningServer
from tests.support.server_starter import ServerStarter

TARGETS = ["de", "fr", "es"]
COALESCED = "kakehashi_coalesced_total"
NUM_CLIENTS = 32
NUM_KILLS = 5
ALL_LENGTHS = {"REDIS_MIN_TOKENS": 1}
NO_MEMORY_TIER = {"CACHE_BYTES": 0, "REDIS_TIMEOUT_MILLISECONDS": 1000, **ALL_LENGTHS}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as redis:
        yield redis


@pytest.fixture
def empty_redis(redis: RedisServer) -> RedisServer:
    redis.ask("FLUSHALL")
    return redis


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*sentences("en", most=12), " ".join(sentences("en", most=20)[12:])]


def answers(server: RunningServer, texts: list[str]) -> list[Any]:
    return list(server.translate(texts, "en", TARGETS)["translations"])


def num_encoded(server: RunningServer) -> float:
    return server.metric("kakehashi_source_tokens_total")


def look_ups(server: RunningServer, result: str, tier: str = "redis") -> float:
    return server.metric("kakehashi_encoder_cache_requests_total", tier=tier, result=result)


def wait_written(server: RunningServer, number: int) -> None:
    name = "kakehashi_encoder_cache_writes_total"
    wait_until(lambda: server.metric(name, result="ok") == number, f"{number} outputs are written to Redis")


def circuits(server: RunningServer) -> float:
    return server.metric("kakehashi_redis_circuit_open")


@pytest.mark.parametrize("compute_type", [pytest.param("int8", marks=pytest.mark.needs("kernels")), "float32"])
def test_a_translation_is_the_same_from_either_tier_from_none_and_after_a_restart(
    start_server: ServerStarter, empty_redis: RedisServer, texts: list[str], compute_type: ComputeType
) -> None:
    settings = {"COMPUTE_TYPE": compute_type, "REDIS_URL": empty_redis.url, **NO_MEMORY_TIER}
    bare = start_server({"COMPUTE_TYPE": compute_type, "CACHE_BYTES": 0})
    expected = answers(bare, texts)
    assert look_ups(bare, "hit", "memory") + look_ups(bare, "miss", "memory") == 0
    remembering = start_server({"COMPUTE_TYPE": compute_type})
    assert [answers(remembering, texts) for _ in range(2)] == [expected, expected]
    assert look_ups(remembering, "hit", "memory") == look_ups(remembering, "miss", "memory") > len(texts)
    sharing = start_server(settings)
    assert answers(sharing, texts) == expected
    wait_written(sharing, num_sources := int(look_ups(sharing, "miss")))
    restarted = start_server(settings)
    idle = num_encoded(restarted)
    assert [answers(each, texts) for each in (sharing, restarted)] == [expected, expected]
    assert look_ups(sharing, "hit") == look_ups(restarted, "hit") == num_sources
    assert num_encoded(restarted) == idle, "what one process encoded the other does not encode again"


async def test_no_request_fails_while_redis_is_killed_and_comes_back_five_times(
    start_server: ServerStarter, empty_redis: RedisServer, oracle: Oracle
) -> None:
    server = start_server({"REDIS_URL": empty_redis.url, **NO_MEMORY_TIER, "REDIS_TIMEOUT_MILLISECONDS": 50})
    texts = sentences("en", most=40)
    expected = {text: oracle.translate(text, "en", "de", max_new_tokens=254) for text in texts}
    is_over = asyncio.Event()

    async def ask(client: httpx.AsyncClient, place: int) -> int:
        for count, index in enumerate(cycle([(place * 7 + step) % len(texts) for step in range(len(texts))])):
            if is_over.is_set():
                return count
            body = request_body(texts[index], "en", "de", stream=index % 2 == 0)
            assert await translate(client, body) == expected[texts[index]]
        return 0

    async def kill_again_and_again() -> None:
        try:
            for _ in range(NUM_KILLS):
                await asyncio.to_thread(wait_until, lambda: not circuits(server), "the server uses Redis")
                hits = look_ups(server, "hit")
                await asyncio.to_thread(wait_until, lambda hits=hits: look_ups(server, "hit") > hits, "Redis gives")
                empty_redis.kill()
                await asyncio.to_thread(wait_until, lambda: circuits(server), "its end is noticed")
                await asyncio.to_thread(empty_redis.start)
        finally:
            is_over.set()

    async with server.async_client() as client:
        *counts, _ = await asyncio.gather(*(ask(client, each) for each in range(NUM_CLIENTS)), kill_again_and_again())
    assert min(counts) > 0
    assert server.metric("kakehashi_requests_total", outcome="ok", endpoint="/v1/translations") == sum(counts)
    server.wait_idle()


def test_while_redis_stands_still_requests_go_on_and_the_log_says_so_once(
    start_server: ServerStarter, empty_redis: RedisServer, texts: list[str]
) -> None:
    server = start_server({"REDIS_URL": empty_redis.url, **NO_MEMORY_TIER, "REDIS_TIMEOUT_MILLISECONDS": 20})
    with empty_redis.frozen():
        told = [server.text(text, "en", "de") for text in texts[:8]]
        assert server.metric("kakehashi_redis_circuit_open", operation="read") == 1
    assert server.log.count("redis read: suspended") == 1
    assert look_ups(server, "error") == 3
    wait_until(lambda: server.text(texts[0], "en", "de") and not circuits(server), "Redis is used again")
    assert told == [server.text(text, "en", "de") for text in texts[:8]]


def test_a_damaged_value_is_a_miss_and_is_put_right(
    start_server: ServerStarter, empty_redis: RedisServer, texts: list[str]
) -> None:
    server = start_server({"REDIS_URL": empty_redis.url, **NO_MEMORY_TIER})
    before = server.text(texts[0], "en", "de")
    wait_written(server, 1)
    (key,) = empty_redis.ask("KEYS", "*")
    empty_redis.ask("SETRANGE", key, 100, b"damage")
    assert server.text(texts[0], "en", "de") == before
    assert server.metric("kakehashi_encoder_cache_damaged_total") == 1
    wait_written(server, 2)
    assert server.translate(texts[0], "en", "de")["usage"]["encoder_cache_hits"] == 1


def test_redis_holds_neither_texts_nor_what_expires_never(
    start_server: ServerStarter, empty_redis: RedisServer
) -> None:
    server = start_server({"REDIS_URL": empty_redis.url, "CACHE_TTL_SECONDS": 1000, **ALL_LENGTHS})
    server.text("My secret is a zeppelin.", "en", "de")
    wait_written(server, 1)
    (key,) = empty_redis.ask("KEYS", "*")
    assert key.startswith(b"kakehashi:encoder:")
    assert len(key.rpartition(b":")[2]) == 64
    assert b"zeppelin" not in empty_redis.ask("GET", key)
    assert 0 < empty_redis.ask("TTL", key) <= 1000


def test_a_request_that_forbids_storing_leaves_nothing_behind(
    start_server: ServerStarter, empty_redis: RedisServer, texts: list[str]
) -> None:
    server = start_server({"REDIS_URL": empty_redis.url, **ALL_LENGTHS})
    for cache_control in ("no-store", "max-age=0, No-Store"):
        usage = server.translate(texts[0], "en", "de", headers={"Cache-Control": cache_control})["usage"]
        assert usage["encoder_cache_misses"] == 1
    body = request_body(texts[0], "en", "de")
    assert server.client.post("/v1/explain", json=body, headers=NO_STORE).status_code == 200
    server.translate(texts[1], "en", "de")
    wait_written(server, 1)
    assert empty_redis.ask("DBSIZE") == 1
    assert look_ups(server, "miss", "memory") == look_ups(server, "miss") == 1


def test_short_sources_stay_out_of_a_tier(
    start_server: ServerStarter, empty_redis: RedisServer, oracle: Oracle
) -> None:
    texts = ["Yes.", "The ship is in the harbour.", "The old man went to the market and bought some bread."]
    lengths = [len(oracle.tokenizer.encode_source(text, source_lang="en", target_lang="de")) for text in texts]
    thresholds = {"CACHE_MIN_TOKENS": lengths[1], "REDIS_MIN_TOKENS": lengths[2]}
    server = start_server({"REDIS_URL": empty_redis.url, **thresholds})
    server.translate(texts, "en", "de")
    wait_written(server, 1)
    assert (look_ups(server, "miss", "memory"), look_ups(server, "miss")) == (2, 1)


def test_one_source_into_three_targets_is_a_third_of_the_encoding(server: RunningServer, texts: list[str]) -> None:
    before = num_encoded(server)
    server.translate(texts, "en", TARGETS, headers=NO_STORE)
    together = num_encoded(server) - before
    for target in TARGETS:
        server.translate(texts, "en", target, headers=NO_STORE)
    assert num_encoded(server) - before - together == 3 * together > 0


def test_models_count_hits_and_misses_as_usage_does(start_server: ServerStarter, texts: list[str]) -> None:
    server = start_server({})
    usages = [server.translate(texts, "en", targets)["usage"] for targets in (["de"], TARGETS)]
    for name in ("encoder_cache_hits", "encoder_cache_misses"):
        assert server.model()[name] == sum(usage[name] for usage in usages)
    assert usages[1]["encoder_cache_misses"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_request_sent_again_shares_the_work_and_outlives_the_first(
    start_server: ServerStarter, oracle: Oracle, stream: bool
) -> None:
    server = start_server({})
    text = sentences("en", most=1)[0]
    before = server.metric("kakehashi_generated_tokens_total")
    body = request_body(text, "en", "de", stream=stream)
    async with server.async_client() as client:
        with server.frozen():
            first, second = (asyncio.create_task(translate(client, body)) for _ in range(2))
            await asyncio.to_thread(wait_until, lambda: server.metric(COALESCED), "the second has joined")
            first.cancel()
            assert server.metric("kakehashi_requests_waiting") == 1
        assert await second == oracle.translate(text, "en", "de", max_new_tokens=254)
    num_tokens = server.translate(text, "en", "de")["usage"]["generated_tokens"]
    server.wait_idle()
    assert server.metric("kakehashi_generated_tokens_total") - before == 2 * num_tokens


async def test_equal_requests_share_their_draws_only_with_a_seed(start_server: ServerStarter) -> None:
    server = start_server({})
    body = request_body("The ship is in the harbour.", "en", "de", temperature=1.5)
    async with server.async_client() as client:
        with server.frozen():
            sent = [asyncio.create_task(translate(client, each)) for each in [body] * 2 + [body | {"seed": 7}] * 2]
            await asyncio.to_thread(
                wait_until,
                lambda: (server.metric(COALESCED), server.metric("kakehashi_requests_waiting")) == (1, 3),
                "two of the four requests are one",
            )
        first, second, *seeded = await asyncio.gather(*sent)
    assert first != second
    assert len(set(seeded)) == 1


def test_a_redis_that_was_never_there_does_not_stop_the_start(tmp_path: Path, start_server: ServerStarter) -> None:
    server = start_server({"REDIS_URL": f"unix://{tmp_path}/nobody"})
    assert server.text("The ship is in the harbour.", "en", "de")
