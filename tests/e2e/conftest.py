"""Servers for the tests of this package, and what holds after each of them.

After every test, each server that it used is idle, and its event loop has never stood still. A test that ends its
servers on purpose is marked `stops_servers`, and its servers need not be idle.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from tests.support.checkpoints import BUNDLED, random_m2m100
from tests.support.oracle import Oracle
from tests.support.server import ONE_ROW, RunningServer, running_server
from tests.support.server_guard import BUSY_MACHINE_FACTOR, LIMIT_SECONDS, STANDSTILL_SECONDS, ServerGuard
from tests.support.server_starter import ServerStarter


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stops_servers: the test ends its servers, which need not be idle afterwards")


@pytest.fixture
def guard() -> Iterator[ServerGuard]:
    guard = ServerGuard()
    yield guard
    guard.stop()


@pytest.fixture
def start_server(tmp_path: Path, guard: ServerGuard) -> Iterator[ServerStarter]:
    with ExitStack() as stack:
        starter = ServerStarter(tmp_path, stack, guard)
        yield starter
        starter.stop_all()


@pytest.fixture(autouse=True)
def _leaves_its_servers_idle_and_their_event_loops_running(
    request: pytest.FixtureRequest, guard: ServerGuard
) -> Iterator[None]:
    # Requested here, so that they are set up before this fixture and torn down after it.
    names = [name for name in request.fixturenames if not name.startswith("_")]
    for value in [request.getfixturevalue(name) for name in names]:
        if isinstance(value, RunningServer):
            guard.watch(value)
    yield
    if request.node.get_closest_marker("stops_servers") is None:
        guard.check_idle()
    standstill_seconds = guard.stop()
    request.node.user_properties.append((STANDSTILL_SECONDS, standstill_seconds))
    assert standstill_seconds < LIMIT_SECONDS * BUSY_MACHINE_FACTOR, "the event loop stood still"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The bundled model with the default settings; for tests that leave it as it was."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def one_row_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("one-row"), ONE_ROW) as server:
        yield server


@pytest.fixture(scope="session")
def small_server(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A random checkpoint on one worker, which tests may kill: they leave the server ready again."""
    settings = {"MODEL": random_checkpoint, "WORKERS": 1, "THREADS_PER_WORKER": 1}
    with running_server(tmp_path_factory.mktemp("small"), settings) as server:
        yield server


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle(BUNDLED)


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small; tests that change it change a copy."""
    return random_m2m100(tmp_path_factory.mktemp("random"), seed=3)


@pytest.fixture(scope="session")
def long_text() -> str:
    """Near the limit on characters; distinct sentences, since equal ones all go to one worker and are encoded once.

    They differ in words: a checkpoint without digits in its vocabulary never sees numbers.
    """
    people = ("man", "woman", "baker", "farmer", "teacher", "doctor", "sailor", "king", "queen")
    places = ("market", "village", "harbour", "garden", "church", "school", "castle", "river", "forest")
    things = ("bread", "butter", "cheese", "apples", "honey", "flowers", "fish")
    return " ".join(
        f"The old {person} went to the {place} early in the morning and bought some {thing}."
        for person, place, thing in product(people, places, things)
    )
