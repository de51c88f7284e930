from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from tests.support.checkpoints import BUNDLED, random_m2m100
from tests.support.oracle import Oracle
from tests.support.server import RunningServer, running_server

ONE_ROW = {"WORKERS": 1, "THREADS_PER_WORKER": 1, "MAX_ROWS": 1}
"""A server that decodes one token at a time takes many seconds over a long text."""

StartServer = Callable[[Mapping[str, object]], RunningServer]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """For the oracle: the cores are the servers'."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The bundled model with the default settings; for tests that leave it as it was."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def one_row_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("one-row"), ONE_ROW) as server:
        yield server


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts a server with these settings that lives as long as the test, and waits until it is ready."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running_server(tmp_path, settings))


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle(BUNDLED)


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small; tests that change it change a copy."""
    return random_m2m100(tmp_path_factory.mktemp("random"), seed=3)


@pytest.fixture(scope="session")
def long_text() -> str:
    """Near the limit on characters; distinct sentences, since equal ones all go to one worker and are encoded once."""
    return " ".join(f"The old man went to the market and bought {number} loaves of bread." for number in range(700))
