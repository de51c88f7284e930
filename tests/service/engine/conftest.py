from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from model.checkpoint.config import read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.oracle import decode_alone
from service.engine.engine import Engine
from tests.service.engine.engines import CHECKPOINT, SHAPE, SOURCES, SharedForkServer, running_engine, spec
from tests.support.checkpoints import random_m2m100


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("checkpoint"), seed=5, shape=SHAPE)


@pytest.fixture(scope="session")
def expected(directory: Path) -> list[list[int]]:
    """The tokens of each source when it is decoded alone."""
    checkpoint = read_checkpoint(directory, name=CHECKPOINT)
    torch.set_num_threads(1)  # the model is tiny, and other processes compute beside it
    transformer = load_transformer(checkpoint, compute_type="float32", device=torch.device("cpu"))
    hypotheses = [decode_alone(transformer, checkpoint, spec(source))[1][0] for source in SOURCES]
    return [list(hypothesis.token_ids) for hypothesis in hypotheses]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fork_server() -> AsyncIterator[SharedForkServer]:
    """Tests that use it run on its event loop."""
    fork_server = SharedForkServer()
    yield fork_server
    await fork_server.end()


@pytest.fixture
def running(directory: Path, fork_server: SharedForkServer) -> Callable[..., AbstractAsyncContextManager[Engine]]:
    return partial(running_engine, directory, fork_server)
