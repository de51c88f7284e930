"""A translation with the cache, without it, and with Redis gone is the same translation. On a real Redis."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.bench.loopback import wait_until
from loadtests.bench.redis_server import RedisServer, running_redis
from model.checkpoint.config import read_checkpoint
from model.tokenizers.loading import load_tokenizer
from tests.support.client import NO_STORE, request_body, translate
from tests.support.oracle import Oracle, sentences
from tests.support.server import RunningServer, running_server
from tests.support.server_starter import ServerStarter

TARGETS = ["de", "fr"]
COALESCED = "kakehashi_coalesced_total"
SUSPENDED = "redis read: suspended"
NUM_CLIENTS = 32
NUM_KILLS = 3
ONE_WORKER = {"WORKERS": 1}
ALL_LENGTHS = {"REDIS_MIN_TOKENS": 1}
NO_MEMORY_TIER = {"CACHE_BYTES": 0, "REDIS_TIMEOUT_MILLISECONDS": 1000, **ALL_LENGTHS}
TTL_SECONDS = 1000
MAX_NEW_TOKENS = 40
SHORT = "Yes."
"""Too short for either tier of `tiered`, as `MIDDLE` is for Redis; the sentences of the other tests are as long."""
MIDDLE = "The ship is in the harbour."
LONG = "The old man went to the market and bought some bread."


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


@pytest.fixture(scope="module")
def sharing(
    random_checkpoint: Path, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Outputs are kept in Redis only, which has to answer quickly."""
    settings = {"MODEL": random_checkpoint, "REDIS_URL": redis.url, **ONE_WORKER, **NO_MEMORY_TIER}
    settings |= {"REDIS_TIMEOUT_MILLISECONDS": 200}
    with running_server(tmp_path_factory.mktemp("sharing"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def tiered(
    random_checkpoint: Path, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """With both tiers, each for sources from another length on."""
    tokenizer = load_tokenizer(read_checkpoint(random_checkpoint, name="random"))
    lengths = [len(tokenizer.encode_source(text, source_lang="en", target_lang="de")) for text in (MIDDLE, LONG)]
    settings = {"MODEL": random_checkpoint, "REDIS_URL": redis.url, "CACHE_TTL_SECONDS": TTL_SECONDS, **ONE_WORKER}
    settings |= {"CACHE_MIN_TOKENS": lengths[0], "REDIS_MIN_TOKENS": lengths[1]}
    with running_server(tmp_path_factory.mktemp("tiered"), settings) as server:
        yield server


def answers(server: RunningServer, texts: list[str], headers: Mapping[str, str] | None = None) -> list[Any]:
    """With a limit, at which the translations of a random checkpoint end instead of going on in further decodes."""
    answer = server.translate(texts, "en", TARGETS, max_new_tokens=MAX_NEW_TOKENS, headers=headers)
    return list(answer["translations"])


def num_answered(server: RunningServer) -> float:
    return server.metric("kakehashi_requests_total", outcome="ok", endpoint="/v1/translations")


def num_encoded(server: RunningServer) -> float:
    return server.metric("kakehashi_source_tokens_total")


def look_ups(server: RunningServer, result: str, tier: str = "redis") -> float:
    return server.metric("kakehashi_encoder_cache_requests_total", tier=tier, result=result)


def num_written(server: RunningServer) -> float:
    return server.metric("kakehashi_encoder_cache_writes_total", result="ok")


def wait_written(server: RunningServer, number: float) -> None:
    """`number` is of all since the start."""
    wait_until(lambda: num_written(server) == number, f"{number} outputs are written to Redis")


def circuits(server: RunningServer) -> float:
    return server.metric("kakehashi_redis_circuit_open")


def test_a_translation_is_the_same_from_either_tier_from_none_and_in_another_process(
    start_server: ServerStarter,
    random_checkpoint: Path,
    empty_redis: RedisServer,
    texts: list[str],
) -> None:
    settings = {"MODEL": random_checkpoint, **ONE_WORKER}
    redis = {"REDIS_URL": empty_redis.url, **NO_MEMORY_TIER}
    remembering, sharing, other = start_server.all(settings, settings | redis, settings | redis)
    expected = answers(sharing, texts, headers=NO_STORE)
    assert len({each["text"] for each in expected}) > len(texts)
    assert look_ups(sharing, "hit") + look_ups(sharing, "miss") == 0
    assert [answers(remembering, texts) for _ in range(2)] == [expected, expected]
    assert look_ups(remembering, "hit", "memory") == look_ups(remembering, "miss", "memory") > len(texts)
    assert answers(sharing, texts) == expected
    wait_written(sharing, num_sources := int(look_ups(sharing, "miss")))
    idle = num_encoded(other)
    assert [answers(each, texts) for each in (sharing, other)] == [expected, expected]
    assert look_ups(sharing, "hit") == look_ups(other, "hit") == num_sources
    assert num_encoded(other) == idle, "what one process encoded the other does not encode again"


async def test_no_request_fails_while_redis_is_killed_and_comes_back_again_and_again(
    sharing: RunningServer, empty_redis: RedisServer
) -> None:
    texts = sentences("en", most=40)
    alone = sharing.translate(texts, "en", "de", headers=NO_STORE)["translations"]
    expected = {text: translation["text"] for text, translation in zip(texts, alone, strict=True)}
    before = num_answered(sharing)
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
                await asyncio.to_thread(wait_until, lambda: not circuits(sharing), "the server uses Redis")
                hits = look_ups(sharing, "hit")
                await asyncio.to_thread(wait_until, lambda hits=hits: look_ups(sharing, "hit") > hits, "Redis gives")
                empty_redis.kill()
                await asyncio.to_thread(wait_until, lambda: circuits(sharing), "its end is noticed")
                await asyncio.to_thread(empty_redis.start)
        finally:
            is_over.set()

    async with sharing.async_client() as client:
        *ended, _ = await asyncio.gather(*(ask(client, each) for each in range(NUM_CLIENTS)), kill_again_and_again())
    counts = [count for count in ended if count is not None]
    assert min(counts) > 0
    assert num_answered(sharing) - before == sum(counts)
    wait_until(lambda: sharing.text(LONG, "en", "de") and not circuits(sharing), "Redis is used again")


def test_while_redis_stands_still_requests_go_on_and_the_log_says_so_once(
    sharing: RunningServer, empty_redis: RedisServer, texts: list[str]
) -> None:
    few = {"max_new_tokens": 8}  # so that all is over before Redis is tried again
    errors, lines = look_ups(sharing, "error"), sharing.log.count(SUSPENDED)
    with empty_redis.frozen():
        told = [sharing.text(text, "en", "de", **few) for text in texts[:8]]
        assert sharing.metric("kakehashi_redis_circuit_open", operation="read") == 1
    assert sharing.log.count(SUSPENDED) - lines == 1
    assert look_ups(sharing, "error") - errors == 3
    wait_until(lambda: sharing.text(texts[0], "en", "de") and not circuits(sharing), "Redis is used again")
    assert told == [sharing.text(text, "en", "de", **few) for text in texts[:8]]


def test_a_damaged_value_is_a_miss_and_is_put_right(sharing: RunningServer, empty_redis: RedisServer) -> None:
    written = num_written(sharing)
    before = sharing.text(LONG, "en", "de")
    wait_written(sharing, written + 1)
    (key,) = empty_redis.ask("KEYS", "*")
    empty_redis.ask("SETRANGE", key, 100, b"damage")
    assert sharing.text(LONG, "en", "de") == before
    assert sharing.metric("kakehashi_encoder_cache_damaged_total") == 1
    wait_written(sharing, written + 2)
    assert sharing.translate(LONG, "en", "de")["usage"]["encoder_cache_hits"] == 1


def test_redis_holds_neither_texts_nor_what_expires_never(tiered: RunningServer, empty_redis: RedisServer) -> None:
    written = num_written(tiered)
    text = "My secret is that an old zeppelin is in the harbour behind the village."
    tiered.translate(text, "en", "de", max_new_tokens=MAX_NEW_TOKENS)
    wait_written(tiered, written + 1)
    (key,) = empty_redis.ask("KEYS", "*")
    assert key.startswith(b"kakehashi:encoder:")
    assert len(key.rpartition(b":")[2]) == 64
    assert b"zeppelin" not in empty_redis.ask("GET", key)
    assert 0 < empty_redis.ask("TTL", key) <= TTL_SECONDS


def test_a_request_that_forbids_storing_leaves_nothing_behind(tiered: RunningServer, empty_redis: RedisServer) -> None:
    def counts() -> list[float]:
        return [num_written(tiered), look_ups(tiered, "miss", "memory"), look_ups(tiered, "miss")]

    before = counts()
    secret = "The old woman went to the market and sold some of her bread."
    for cache_control in ("no-store", "max-age=0, No-Store"):
        headers = {"Cache-Control": cache_control}
        usage = tiered.translate(secret, "en", "de", max_new_tokens=MAX_NEW_TOKENS, headers=headers)["usage"]
        assert usage["encoder_cache_misses"] == 1
    answer = tiered.client.post("/v1/explain", json=request_body(secret, "en", "de"), headers=NO_STORE)
    assert answer.status_code == 200
    tiered.translate(
        "The young man went to the market and sold some of his bread.", "en", "de", max_new_tokens=MAX_NEW_TOKENS
    )
    wait_written(tiered, before[0] + 1)
    assert empty_redis.ask("DBSIZE") == 1
    assert [after - then for after, then in zip(counts(), before, strict=True)] == [1, 1, 1]


def test_short_sources_stay_out_of_a_tier(tiered: RunningServer) -> None:
    before = look_ups(tiered, "miss", "memory"), look_ups(tiered, "miss")
    written = num_written(tiered)
    tiered.translate([SHORT, MIDDLE, LONG], "en", "de", max_new_tokens=MAX_NEW_TOKENS)
    wait_written(tiered, written + 1)
    assert (look_ups(tiered, "miss", "memory"), look_ups(tiered, "miss")) == (before[0] + 2, before[1] + 1)


def test_one_source_into_two_targets_is_half_of_the_encoding(server: RunningServer, texts: list[str]) -> None:
    before = num_encoded(server)
    server.translate(texts, "en", TARGETS, headers=NO_STORE)
    together = num_encoded(server) - before
    for target in TARGETS:
        server.translate(texts, "en", target, headers=NO_STORE)
    assert num_encoded(server) - before - together == len(TARGETS) * together > 0


def test_models_count_hits_and_misses_as_usage_does(server: RunningServer) -> None:
    before = server.model()
    text = "The number of hits and misses is the same in both places."
    usages = [server.translate(text, "en", targets)["usage"] for targets in (["de"], TARGETS)]
    for name in ("encoder_cache_hits", "encoder_cache_misses"):
        assert server.model()[name] - before[name] == sum(usage[name] for usage in usages)
    assert usages[1]["encoder_cache_misses"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_request_sent_again_shares_the_work_and_outlives_the_first(
    server: RunningServer, oracle: Oracle, stream: bool
) -> None:
    text = sentences("en", most=1)[0]
    tokens, coalesced = server.metric("kakehashi_generated_tokens_total"), server.metric(COALESCED)
    body = request_body(text, "en", "de", stream=stream)
    async with server.async_client() as client:
        with server.frozen():
            first, second = (asyncio.create_task(translate(client, body)) for _ in range(2))
            await asyncio.to_thread(wait_until, lambda: server.metric(COALESCED) > coalesced, "the second has joined")
            first.cancel()
            assert server.metric("kakehashi_requests_waiting") == 1
        assert await second == oracle.translate(text, "en", "de", max_new_tokens=254)
    num_tokens = server.translate(text, "en", "de")["usage"]["generated_tokens"]
    server.wait_idle()
    assert server.metric("kakehashi_generated_tokens_total") - tokens == 2 * num_tokens


async def test_equal_requests_share_their_draws_only_with_a_seed(server: RunningServer) -> None:
    before = server.metric(COALESCED)
    body = request_body("The ship is in the harbour.", "en", "de", temperature=1.5)
    async with server.async_client() as client:
        with server.frozen():
            sent = [asyncio.create_task(translate(client, each)) for each in [body] * 2 + [body | {"seed": 7}] * 2]
            await asyncio.to_thread(
                wait_until,
                lambda: (server.metric(COALESCED) - before, server.metric("kakehashi_requests_waiting")) == (1, 3),
                "two of the four requests are one",
            )
        first, second, *seeded = await asyncio.gather(*sent)
    assert first != second
    assert len(set(seeded)) == 1


def test_a_redis_that_was_never_there_does_not_stop_the_start(
    tmp_path: Path, start_server: ServerStarter, random_checkpoint: Path
) -> None:
    server = start_server({"MODEL": random_checkpoint, "REDIS_URL": f"unix://{tmp_path}/nobody", **ONE_WORKER})
    assert server.text("The ship is in the harbour.", "en", "de")


def test_glossaries_are_in_redis_while_they_are_kept(sharing: RunningServer, redis: RedisServer) -> None:
    pairs = sharing.client.get("/v2/glossary-language-pairs").json()["supported_languages"]
    body = {"name": "Animals", "entries": "dog\tHund", **pairs[0]}
    glossary = sharing.client.post("/v2/glossaries", json=body).json()
    path = f"/v2/glossaries/{glossary['glossary_id']}"
    assert redis.ask("HLEN", "kakehashi:glossaries::infos") == 1
    assert sharing.client.get(path).json() == glossary
    assert sharing.client.get(f"{path}/entries").text == "dog\tHund"
    assert sharing.client.delete(path).status_code == 204
    assert redis.ask("HLEN", "kakehashi:glossaries::terms") == 0
