"""A redis-py client from a URL, and operations for all three topologies: one server, a Cluster, a Sentinel master.

Connections have no read timeout. Each operation runs under a time limit of its own, and redis-py drops the connection
of an operation that was cancelled, so no operation reads the late reply of another.
"""

import asyncio
import logging
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.maint_notifications import MaintNotificationsConfig

from service.cache.redis_url import RedisUrl, read_redis_url

logger = logging.getLogger(__name__)

RedisClient = Redis | RedisCluster
KEY_PREFIX = b"kakehashi:encoder:"
READ_BYTES = 1 << 18
"""Read from a socket at a time; an encoder output has tens to hundreds of kilobytes."""
CLOSE_SECONDS = 1.0


def redis_key(digest: bytes) -> bytes:
    return KEY_PREFIX + digest.hex().encode()


def connect(url: str, *, timeout_seconds: float) -> RedisClient:
    """A client that connects when it is first used; `timeout_seconds` limits connecting and a Sentinel's answer.

    Raises ValueError for a URL that cannot be used; the message contains no part of a password.
    """
    parsed = read_redis_url(url)
    try:
        client = _make_client(parsed, timeout_seconds=timeout_seconds)
        for connection in _unconnected(client):
            if isinstance(connection, SSLConnection):
                connection.ssl_context.get()  # reads the files of certificates
    except Exception as error:  # redis-py reports wrong options with many types, some only when it connects
        raise ValueError(f"an option of the URL cannot be used: {error}") from None
    return client


async def close(client: RedisClient) -> None:
    """Close all connections within CLOSE_SECONDS; never raises."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.aclose()
            if isinstance(client, RedisCluster):
                # After a failure it considers itself closed while connections to other nodes are still open.
                await client.nodes_manager.aclose()
                await client.nodes_manager.aclose("startup_nodes")
            elif isinstance(client.connection_pool, SentinelConnectionPool):
                await client.connection_pool.sentinel_manager.aclose()
    except Exception as error:  # nothing is left to be done
        logger.debug("redis: closing failed: %s", type(error).__name__)


async def execute(pipeline: Pipeline | ClusterPipeline) -> list[Any]:
    """A reply for each command: its result, or the exception that it failed with.

    Raises the first exception if all commands failed, as on a server that is full or read-only.
    """
    replies = await pipeline.execute(raise_on_error=False)
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    if errors and len(errors) == len(replies):
        raise errors[0]
    return replies


async def used_memory_bytes(client: RedisClient) -> int:
    """The sum over all masters."""
    if isinstance(client, Redis):
        return int((await client.info("memory"))["used_memory"])
    await client.initialize()
    infos = [await client.info("memory", target_nodes=node) for node in client.get_primaries()]
    return sum(int(info["used_memory"]) for info in infos)


def _make_client(url: RedisUrl, *, timeout_seconds: float) -> RedisClient:
    settings: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": timeout_seconds,
        "socket_read_size": READ_BYTES,
        # One immediate retry replaces a connection that a restarted Redis has closed. Timeouts are not retried.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        **url.options,
    }
    match url.topology:
        case "cluster":
            nodes = [ClusterNode(host, port) for host, port in url.nodes]
            return RedisCluster(startup_nodes=nodes, ssl=url.is_tls, **settings)
        case "sentinel":
            credentials = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")}
            shared = {name: value for name, value in settings.items() if name.startswith(("ssl", "socket"))}
            of_sentinels = {
                **shared,
                **credentials,
                "ssl": url.is_tls,
                "socket_timeout": timeout_seconds,  # the next Sentinel is tried after it
                "retry": settings["retry"],
                "maint_notifications_config": settings["maint_notifications_config"],
            }
            sentinel = Sentinel(url.nodes, 0, of_sentinels, ssl=url.is_tls, **settings)  # type: ignore[no-untyped-call]
            master: Redis = sentinel.master_for(url.service_name)
            return master
        case "single" if url.nodes:
            host, port = url.nodes[0]
            return Redis.from_pool(
                ConnectionPool(SSLConnection if url.is_tls else Connection, host=host, port=port, **settings)
            )
        case _:
            return Redis.from_pool(ConnectionPool(UnixDomainSocketConnection, **settings))


def _unconnected(client: RedisClient) -> list[AbstractConnection]:
    """One connection of each kind that `client` will make; the constructor checks the options."""
    if isinstance(client, RedisCluster):
        node = client.startup_nodes[0]
        return [node.connection_class(**node.connection_kwargs)]
    pools = [client.connection_pool]
    if isinstance(client.connection_pool, SentinelConnectionPool):
        pools.append(client.connection_pool.sentinel_manager.sentinels[0].connection_pool)
    return [pool.make_connection() for pool in pools]  # type: ignore[no-untyped-call]
