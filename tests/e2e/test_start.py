"""A checkpoint that cannot be served stops the start and is named; any other is served like the bundled one.

What is refused before any process is started stands in tests/service/test_cli.py.
"""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.transformer.compute_types import ComputeType
from tests.support.checkpoints import random_m2m100, random_marian
from tests.support.client import deltas, is_whole
from tests.support.oracle import Oracle
from tests.support.server import RunningServer, running_server
from tests.support.server_starter import ServerStarter

TENSOR = "model.encoder.layers.1.fc2.weight"
NO_KERNELS = "KAKEHASHI_COMPUTE_TYPE=int8 cannot be used: "


def truncated(checkpoint: Path, copy: Path) -> Path:
    shutil.copytree(checkpoint, copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return copy


def with_nan(checkpoint: Path, copy: Path) -> Path:
    shutil.copytree(checkpoint, copy)
    tensors = load_file(copy / "model.safetensors")
    tensors[TENSOR][0, 0] = torch.nan
    save_file(tensors, copy / "model.safetensors")
    return copy


@pytest.mark.stops_servers
def test_what_cannot_be_loaded_stops_the_start_and_is_named(
    start_server: ServerStarter, random_checkpoint: Path, tmp_path: Path
) -> None:
    first = truncated(random_checkpoint, tmp_path / "first")
    second = with_nan(random_checkpoint, tmp_path / "second")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        expected: list[tuple[dict[str, object], int, list[str]]] = [
            ({"MODEL": f"{random_checkpoint},{first}"}, 1, [f"cannot serve {first}: ", "model.safetensors"]),
            ({"MODEL": second}, 1, [f"cannot serve {second}: ", "computes numbers that are not finite"]),
            ({"MODEL": random_checkpoint, "DEVICE": "cuda:63"}, 1, ["cannot serve"]),
            ({"MODEL": random_checkpoint, "COMPUTE_TYPE": "int8", "ISA": "none"}, 1, [NO_KERNELS]),
            ({"MODEL": random_checkpoint, "MAX_LOAD_SECONDS": 0.1}, 1, ["the worker was not ready within 0.1 s"]),
            ({"MODEL": random_checkpoint, "MAX_ROW": 4}, 2, ["KAKEHASHI_MAX_ROW is not a setting"]),
            ({"MODEL": random_checkpoint, "PORT": port}, 3, ["address already in use", port]),
        ]
        servers = [start_server.starting({"WORKERS": 1, **settings}) for settings, _, _ in expected]
        for server, (_, status, named) in zip(servers, expected, strict=True):
            assert server.wait_exit() == status, server.log
            assert all(each in server.log for each in named), server.log
            assert "Traceback" not in server.log


@pytest.fixture(scope="module", params=["float32", pytest.param("int8", marks=pytest.mark.needs("kernels"))])
def compute_type(request: pytest.FixtureRequest) -> ComputeType:
    return request.param


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("others")
    return [make(directory / make.__name__, seed=3) for make in (random_marian, random_m2m100)]


@pytest.fixture(scope="module")
def server_of_others(
    others: list[Path], compute_type: ComputeType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    model = ",".join(map(str, others))
    settings = {"MODEL": model, "COMPUTE_TYPE": compute_type, "WORKERS": 2, "MAX_ROWS": 3}
    flags = ("--workers", "1", "--max-rows=5")
    with running_server(tmp_path_factory.mktemp("server-of-others"), settings, flags=flags) as server:
        yield server


def test_another_checkpoint_is_served_as_the_oracle_translates(
    server_of_others: RunningServer, others: list[Path], compute_type: ComputeType
) -> None:
    for checkpoint in others:
        oracle = Oracle(checkpoint, compute_type)
        texts = [text for text in oracle.sentences("en", most=60) if oracle.tokenizer.count_tokens(text) < 30][:10]
        expected = [oracle.translate(text, "en", "de", max_new_tokens=40) for text in texts]
        assert len(set(expected)) > 6
        options: dict[str, Any] = {"max_new_tokens": 40, "repetition_guard": False, "model": str(checkpoint)}
        answer = server_of_others.translate(texts, "en", "de", **options)
        assert [each["text"] for each in answer["translations"]] == expected
        assert answer["model"] == str(checkpoint)
        events = server_of_others.stream(texts[0], "en", "de", **options)
        assert is_whole(events)
        assert deltas(events) == expected[0]


def test_flags_win_over_variables(server_of_others: RunningServer) -> None:
    assert [(model["workers"], model["max_rows"]) for model in server_of_others.models()] == [(1, 5)] * 2
    assert len(server_of_others.workers()) == 1
