"""Laws of both stores, one of them on a real Redis."""

from collections.abc import AsyncIterator, Iterator

import pytest

from loadtests.bench.redis_server import RedisServer, running_redis
from service.cache.redis_client import connect
from service.errors import NotReadyError, TooLargeError
from service.glossaries.memory_store import MemoryGlossaries
from service.glossaries.redis_store import RedisGlossaries
from service.glossaries.store import GlossaryInfo, GlossaryStore

TERMS = {"dog": "Hündin", "cat": "Kater"}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[GlossaryStore]:
    """With room for two glossaries of each owner."""
    if request.param == "memory":
        yield MemoryGlossaries(max_glossaries=2)
        return
    redis.ask("FLUSHALL")
    store = RedisGlossaries(connect(redis.url, timeout_seconds=5.0), max_glossaries=2)
    yield store
    await store.aclose()


def info(glossary_id: str, *, created_at: float = 1.0) -> GlossaryInfo:
    return GlossaryInfo(glossary_id, "Animals", "en", "de", created_at, len(TERMS))


async def test_what_was_added_is_found_until_it_is_removed(store: GlossaryStore):
    await store.add("alice", info("1", created_at=2.0), TERMS)
    await store.add("alice", info("2", created_at=3.0), {"a": "b"})
    assert await store.list_all("alice") == [info("1", created_at=2.0), info("2", created_at=3.0)]
    assert (await store.find("alice", "1"), await store.find_terms("alice", "1")) == (info("1", created_at=2.0), TERMS)
    assert await store.remove("alice", "1")
    assert not await store.remove("alice", "1")
    assert (await store.find("alice", "1"), await store.find_terms("alice", "1")) == (None, None)


@pytest.mark.parametrize("other", ["bob", None])
async def test_an_owner_sees_only_its_own(store: GlossaryStore, other: str | None):
    await store.add("alice", info("1"), TERMS)
    assert await store.list_all(other) == []
    assert (await store.find(other, "1"), await store.find_terms(other, "1")) == (None, None)
    assert not await store.remove(other, "1")


async def test_each_owner_has_room_for_as_many(store: GlossaryStore):
    for owner in ("alice", None):
        await store.add(owner, info("1"), TERMS)
        await store.add(owner, info("2"), TERMS)
        with pytest.raises(TooLargeError, match="there are 2 glossaries"):
            await store.add(owner, info("3"), TERMS)


async def test_a_redis_that_is_gone_is_a_refusal_to_try_again():
    store = RedisGlossaries(connect("redis://127.0.0.1:1", timeout_seconds=1.0), max_glossaries=2)
    with pytest.raises(NotReadyError):
        await store.list_all(None)
    await store.aclose()
