from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.bench.conversion import convert
from loadtests.bench.kakehashi_backend import KakehashiBackend
from loadtests.bench.peers import CTranslate2Backend, TransformersBackend
from loadtests.bench.sides import Backend, Shape
from loadtests.bench.work import Work
from tests.support.lively import lively_pair
from tests.support.pairs import prompts_of, random_sources
from tests.support.server import RunningServer, running_server

NUM_SENTENCES = 20
MAX_TEXTS = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """A tiny checkpoint in all three engines, and sentences for it."""

    directory: Path
    ours: Backend
    ctranslate2: Backend
    transformers: Backend
    work: Work


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The bundled model on one worker; it refuses more than `MAX_TEXTS` texts."""
    with running_server(tmp_path_factory.mktemp("server"), {"WORKERS": 1, "MAX_TEXTS": MAX_TEXTS}) as server:
        yield server


@pytest.fixture(scope="session", params=["m2m100", "marian"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    directory = tmp_path_factory.mktemp(request.param)
    pair = lively_pair(request.param, directory)
    converted = convert(directory, directory / "converted", compute_type="float32")
    work = Work(
        sources=tuple(map(tuple, random_sources(pair, NUM_SENTENCES, seed=3))),
        prompts=tuple(map(tuple, prompts_of(pair, NUM_SENTENCES))),
        beam_size=1,
        batch_size=8,
        max_new_tokens=30,
    )
    return Stage(
        directory,
        KakehashiBackend(directory, compute_type="float32"),
        CTranslate2Backend(converted, compute_type="float32", shape=Shape(1, 1)),
        TransformersBackend(directory),
        work,
    )
