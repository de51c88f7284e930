"""Laws of the URL: every kind of Redis is reached by one, and a wrong one is refused without quoting its password."""

from pathlib import Path

import pytest

from loadtests.bench.redis_server import running_redis
from service.cache.redis_client import RedisClient, close, connect, used_memory_bytes
from tests.support.redis_topologies import running_cluster, running_sentinel, running_tls_redis

PASSWORD = "pa/s?s#w@r:d%"
ENCODED = "pa%2Fs%3Fs%23w%40r%3Ad%25"


def connected(url: str) -> RedisClient:
    return connect(url, timeout_seconds=5)


async def answers(url: str) -> bool:
    """Whether values written by this URL are there, and the memory in use can be read."""
    client = connected(url)
    try:
        await client.set(b"a", b"\xff\0", ex=60)
        return await client.get(b"a") == b"\xff\0" and await used_memory_bytes(client) > 100_000
    finally:
        await close(client)


async def test_a_server_is_reached_by_host_and_port_and_keeps_databases_apart():
    with running_redis() as server:
        assert await answers(server.url)
        assert await answers(f"{server.url}/3?client_name=kakehashi")
        assert server.ask("INFO", "keyspace").keys() == {"db0", "db3"}


async def test_a_server_is_reached_by_its_unix_socket():
    with running_redis(password=PASSWORD) as server:
        assert await answers(f"unix://:{ENCODED}@{server.socket_path}?db=2")


async def test_a_password_is_sent_as_it_was_before_it_was_percent_encoded():
    with running_redis(password=PASSWORD) as server:
        assert await answers(f"redis://:{ENCODED}@127.0.0.1:{server.port}")
        assert await answers(f"redis://default:{ENCODED}@127.0.0.1:{server.port}/1?protocol=2")


async def test_a_server_is_reached_over_tls_if_its_certificate_is_known(tmp_path: Path):
    with running_tls_redis(tmp_path) as (server, ca_path):
        assert await answers(f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={ca_path}")
        with pytest.raises(Exception, match="certificate"):
            await answers(f"rediss://127.0.0.1:{server.port}")


async def test_a_master_is_found_by_its_sentinels_though_the_first_is_gone():
    with running_sentinel("the-master", password=PASSWORD) as (sentinel, master), running_redis() as gone:
        gone.kill()
        nodes = f"127.0.0.1:{gone.port},127.0.0.1:{sentinel.port}"
        assert await answers(f"redis+sentinel://{nodes}/the-master/4?sentinel_password={ENCODED}")
        assert master.ask("INFO", "keyspace").keys() == {"db4"}


async def test_a_cluster_is_reached_by_any_node_of_it():
    with running_cluster() as nodes, running_redis() as gone:
        gone.kill()
        assert await answers(f"redis+cluster://127.0.0.1:{gone.port},127.0.0.1:{nodes[1].port}")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "the scheme must be one of redis://, "),
        ("hunter2", "the scheme must be one of redis://, "),
        ("http://:hunter2@host", "the scheme must be one of redis://, "),
        ("redis://:hunter2/x@host:1/0", "percent-encoded"),
        ("redis://:hunter2?x=1@host", "percent-encoded"),
        ("redis://:hunter2#x@host", "percent-encoded"),
        ("redis://:hunter2[@host", "percent-encoded"),
        ("redis://:hunter2\N{FULLWIDTH SOLIDUS}x@host", "percent-encoded"),
        ("redis://:hunter2", "percent-encoded"),
        ("redis://:hunter2@host:many", "percent-encoded"),
        ("redis://:hunter2@", "a host is missing"),
        ("redis://:hunter2@host/cache", "must be a whole number"),
        ("redis://:hunter2@one,two", "only a redis.cluster"),
        ("redis://:hunter2@host?no_such_option=1", "unexpected keyword argument 'no_such_option'"),
        ("redis://:hunter2@host?ssl_ca_certs=/none", "'ssl_ca_certs'"),
        ("redis://:hunter2@host?socket_keepalive=1&db=x", "Invalid value for 'db'"),
        ("redis://:hunter2@host?decode_responses=1", "values are bytes"),
        ("redis://:hunter2@host?retry=1", "cannot be used"),
        ("rediss://:hunter2@host?ssl_ca_certs=/no/such/file", "No such file"),
        ("rediss://:hunter2@host?ssl_cert_reqs=perhaps", "perhaps"),
        ("unix://:hunter2@", "absolute path"),
        ("unix://:hunter2@host/path", "absolute path"),
        ("redis+cluster://:hunter2@host/1", "only has database 0"),
        ("redis+cluster://:hunter2@host?sentinel_password=x", "'sentinel_password'"),
        ("redis+sentinel://:hunter2@host", "must name the Sentinels' service"),
        ("redis+sentinel://:hunter2@host/master/x", "must be a whole number"),
        ("rediss+sentinel://:hunter2@host/master?ssl_ca_certs=/no/such/file", "No such file"),
        ("rediss+cluster://:hunter2@127.0.0.1?ssl_ca_certs=/no/such/file", "No such file"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, reason: str):
    with pytest.raises(ValueError, match=reason) as refusal:
        connected(url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://h",
        "unix:///s",
        "redis+cluster://h",
        "rediss+cluster://h,[::1]:1",
        "rediss+sentinel://h,i/m",
    ],
)
def test_a_client_is_made_without_a_server_or_an_event_loop(url: str):
    assert connected(url) is not None
