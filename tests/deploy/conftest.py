from collections.abc import Iterator

import pytest

from loadtests.bench.loopback import wait_until
from loadtests.bench.redis_server import running_redis
from tests.support.server import RunningServer, running_server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With Redis, and with a worker that has died and was started again; for tests that leave it as it was."""
    with (
        running_redis() as redis,
        running_server(
            tmp_path_factory.mktemp("server"),
            {"REDIS_URL": redis.url, "REDIS_MIN_TOKENS": 1, "WORKERS": 1, "MAX_ROWS": 1},
        ) as server,
    ):
        (worker,) = server.workers()
        worker.kill()
        wait_until(lambda: server.metric("kakehashi_worker_restarts_total"), "the restart is counted")
        server.wait_ready()
        yield server
