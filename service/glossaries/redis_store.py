"""Glossaries in Redis, which all replicas share and which outlive them.

Every owner has two hashes keyed by glossary id: one holds the `GlossaryInfo`, the other the terms.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import msgspec

from service.cache.redis_client import RedisClient, close
from service.errors import NotReadyError, TooLargeError
from service.glossaries.store import GlossaryInfo, Owner, too_many

logger = logging.getLogger(__name__)

KEY_PREFIX = "kakehashi:glossaries:"
TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 1
T = TypeVar("T")


class RedisGlossaries:
    """Owns and closes `client`."""

    def __init__(self, client: RedisClient, *, max_glossaries: int) -> None:
        """`max_glossaries` is the limit of each owner; concurrent requests may exceed it."""
        self._client: Any = client  # redis-py types these commands as synchronous or asynchronous
        self._max_glossaries = max_glossaries

    async def add(self, owner: Owner, info: GlossaryInfo, terms: Mapping[str, str]) -> None:
        if await _reply(self._client.hlen(_infos(owner))) >= self._max_glossaries:
            raise TooLargeError(too_many(self._max_glossaries))
        await _reply(self._client.hset(_terms(owner), info.glossary_id, msgspec.msgpack.encode(terms)))
        await _reply(self._client.hset(_infos(owner), info.glossary_id, msgspec.msgpack.encode(info)))

    async def list_all(self, owner: Owner) -> list[GlossaryInfo]:
        values: list[bytes] = await _reply(self._client.hvals(_infos(owner)))
        infos = (msgspec.msgpack.decode(value, type=GlossaryInfo) for value in values)
        return sorted(infos, key=lambda info: info.created_at)

    async def find(self, owner: Owner, glossary_id: str) -> GlossaryInfo | None:
        value: bytes | None = await _reply(self._client.hget(_infos(owner), glossary_id))
        return None if value is None else msgspec.msgpack.decode(value, type=GlossaryInfo)

    async def find_terms(self, owner: Owner, glossary_id: str) -> Mapping[str, str] | None:
        value: bytes | None = await _reply(self._client.hget(_terms(owner), glossary_id))
        return None if value is None else msgspec.msgpack.decode(value, type=dict[str, str])

    async def remove(self, owner: Owner, glossary_id: str) -> bool:
        num_removed: int = await _reply(self._client.hdel(_infos(owner), glossary_id))
        await _reply(self._client.hdel(_terms(owner), glossary_id))
        return num_removed > 0

    async def aclose(self) -> None:
        """Never raises."""
        await close(self._client)


def _infos(owner: Owner) -> str:
    return f"{KEY_PREFIX}{owner or ''}:infos"  # no API key has an empty name


def _terms(owner: Owner) -> str:
    return f"{KEY_PREFIX}{owner or ''}:terms"


async def _reply(command: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await command
    except Exception as error:  # redis-py raises OSError, RedisClusterException and others besides RedisError
        logger.warning("redis: glossaries cannot be reached: %s", type(error).__name__)
        raise NotReadyError("the glossaries cannot be reached for now", retry_after_seconds=RETRY_SECONDS) from error
