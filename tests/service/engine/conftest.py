from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
import torch

from model.checkpoint.config import read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.oracle import translate
from service.engine.client import EngineClient
from tests.service.engine.clients import MAX_NEW_TOKENS, PROMPT, SHAPE, SOURCES, running_client
from tests.support.checkpoints import random_m2m100


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("checkpoint"), seed=5, shape=SHAPE)


@pytest.fixture(scope="session")
def expected(directory: Path) -> list[list[int]]:
    """What each source says alone."""
    checkpoint = read_checkpoint(directory, name="random")
    transformer = load_transformer(checkpoint, compute_type="float32", device=torch.device("cpu"))
    return [
        list(translate(transformer, checkpoint, list(source), list(PROMPT), max_new_tokens=MAX_NEW_TOKENS).token_ids)
        for source in SOURCES
    ]


@pytest.fixture
def running(directory: Path) -> Callable[..., AbstractAsyncContextManager[EngineClient]]:
    return partial(running_client, directory)
