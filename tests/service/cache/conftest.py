from collections.abc import Iterator

import pytest

from loadtests.bench.redis_server import RedisServer, running_redis


@pytest.fixture(scope="package")
def shared_redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """Empty, with its statistics at zero; for tests that leave its settings as they were."""
    shared_redis.ask("FLUSHALL")
    shared_redis.ask("CONFIG RESETSTAT")
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """For tests that break it."""
    with running_redis() as server:
        yield server
