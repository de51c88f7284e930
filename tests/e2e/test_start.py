"""What cannot be served stops the start, and is named; any other checkpoint is served like the bundled one."""

import json
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from model.transformer.compute_types import ComputeType
from tests.support.checkpoints import random_m2m100, random_marian
from tests.support.client import deltas, is_whole
from tests.support.oracle import Oracle, sentences
from tests.support.server import running_server, starting_server

TENSOR = "model.encoder.layers.1.fc2.weight"


def failed_start(
    directory: Path, settings: Mapping[str, object], *, flags: tuple[str, ...] = (), status: int = 1
) -> str:
    """What a server says that does not start."""
    with starting_server(directory, settings, flags=flags) as server:
        assert server.wait_exit() == status, server.log
        assert "Traceback" not in server.log
        return server.log


def without_tensor(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if name != TENSOR}, checkpoint / "model.safetensors")


def with_misshapen_tensor(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    save_file(tensors | {TENSOR: tensors[TENSOR][:-1].clone()}, checkpoint / "model.safetensors")


def with_extra_tensor(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    save_file(tensors | {"model.encoder.extra": tensors[TENSOR].clone()}, checkpoint / "model.safetensors")


def truncated(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def of_unknown_type(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "opt"}))


def without(name: str) -> Callable[[Path], None]:
    return lambda checkpoint: (checkpoint / name).unlink()


def garbled(name: str) -> Callable[[Path], int]:
    return lambda checkpoint: (checkpoint / name).write_text("{")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (without_tensor, TENSOR),
        (with_misshapen_tensor, TENSOR),
        (with_extra_tensor, "model.encoder.extra"),
        (truncated, "model.safetensors"),
        (without("model.safetensors"), "model.safetensors"),
        (of_unknown_type, "model_type 'opt'"),
        (without("config.json"), "config.json"),
        (garbled("config.json"), "config.json"),
        (without("vocab.json"), "vocab.json"),
        (without("sentencepiece.bpe.model"), "sentencepiece.bpe.model"),
        (garbled("sentencepiece.bpe.model"), "sentencepiece.bpe.model"),
    ],
)
def test_a_damaged_checkpoint_stops_the_start_and_is_named(
    random_checkpoint: Path, tmp_path: Path, damage: Callable[[Path], object], named: str
) -> None:
    checkpoint = tmp_path / "damaged"
    shutil.copytree(random_checkpoint, checkpoint)
    damage(checkpoint)
    log = failed_start(tmp_path, {"MODEL": checkpoint, "WORKERS": 1})
    assert named in log
    assert str(checkpoint) in log


@pytest.mark.parametrize("damage", [without_tensor, with_misshapen_tensor])
def test_a_second_checkpoint_that_cannot_be_loaded_stops_the_start_and_is_named(
    tmp_path: Path, random_checkpoint: Path, damage: Callable[[Path], None]
) -> None:
    second = tmp_path / "second"
    shutil.copytree(random_checkpoint, second)
    damage(second)
    log = failed_start(tmp_path, {"MODEL": f"{random_checkpoint},{second}", "WORKERS": 1})
    assert f"cannot serve {second}: " in log
    assert TENSOR in log


def test_a_second_checkpoint_that_is_nowhere_stops_the_start_and_is_named(
    tmp_path: Path, random_checkpoint: Path
) -> None:
    assert "./nowhere" in failed_start(tmp_path, {"MODEL": f"{random_checkpoint},./nowhere"})


@pytest.mark.parametrize("reference", ["nowhere", "./nowhere", "no/where", "no/where@main", "a/b/c"])
def test_a_checkpoint_that_is_nowhere_stops_the_start_and_is_named(tmp_path: Path, reference: str) -> None:
    log = failed_start(tmp_path, {"MODEL": reference})
    assert f"cannot serve {reference}" in log or f"kakehashi: {reference}:" in log


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODEL", ""), ("PORT", "http"), ("MAX_ROWS", "0"), ("COMPUTE_TYPE", "int3"), ("GRACE_SECONDS", "soon")],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, name: str, value: str) -> None:
    assert f"KAKEHASHI_{name}: '{value}'" in failed_start(tmp_path, {name: value}, status=2)
    flags = (f"--{name.lower().replace('_', '-')}", value)
    assert f"KAKEHASHI_{name}: '{value}'" in failed_start(tmp_path, {}, flags=flags, status=2)


def test_a_compute_type_that_the_machine_lacks_stops_the_start_with_an_alternative(
    tmp_path: Path, random_checkpoint: Path
) -> None:
    """The kernels are switched off by a flag, which the workers have to obey."""
    settings = {"MODEL": random_checkpoint, "COMPUTE_TYPE": "int8", "WORKERS": 2}
    log = failed_start(tmp_path, settings, flags=("--isa", "none"))
    (line,) = [line for line in log.splitlines() if "KAKEHASHI_COMPUTE_TYPE" in line]
    assert "KAKEHASHI_COMPUTE_TYPE=int8 cannot be used" in line
    assert "KAKEHASHI_ISA=none switches them off; use float32" in line


def test_a_redis_url_that_cannot_be_used_stops_the_start_without_its_password(tmp_path: Path) -> None:
    log = failed_start(tmp_path, {"REDIS_URL": "redis+sentinel://:geheim@localhost:26379"}, status=2)
    assert "KAKEHASHI_REDIS_URL: " in log
    assert "geheim" not in log


def test_an_unknown_setting_stops_the_start_and_is_named(tmp_path: Path) -> None:
    assert "KAKEHASHI_MAX_ROW is not a setting" in failed_start(tmp_path, {"MAX_ROW": 4}, status=2)
    assert "--max-rowz" in failed_start(tmp_path, {}, flags=("--max-rowz", "4"), status=2)


def test_a_setting_in_the_env_file_counts_as_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAKEHASHI_MAX_ROWS=none\n")
    assert "KAKEHASHI_MAX_ROWS: 'none'" in failed_start(tmp_path, {}, status=2)


def test_a_port_in_use_stops_the_start(tmp_path: Path, random_checkpoint: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with starting_server(tmp_path, {"MODEL": random_checkpoint, "PORT": port}) as server:
            assert server.wait_exit() != 0
            assert "address already in use" in server.log
            assert str(port) in server.log


def test_a_device_that_is_not_there_stops_the_start(tmp_path: Path, random_checkpoint: Path) -> None:
    log = failed_start(tmp_path, {"MODEL": random_checkpoint, "DEVICE": "cuda:63", "WORKERS": 1})
    assert "cannot serve" in log


@pytest.mark.parametrize("compute_type", ["float32", pytest.param("int8", marks=pytest.mark.needs("kernels"))])
@pytest.mark.parametrize("make", [random_marian, random_m2m100])
def test_another_checkpoint_is_served_as_the_oracle_translates(
    tmp_path: Path, make: Callable[..., Path], compute_type: ComputeType
) -> None:
    checkpoint = make(tmp_path / "checkpoint", seed=3)
    oracle = Oracle(checkpoint, compute_type)
    texts = [text for text in sentences("en", most=60) if oracle.tokenizer.count_tokens(text) < 30][:16]
    expected = [oracle.translate(text, "en", "de", max_new_tokens=40) for text in texts]
    assert len(set(expected)) > 10
    with running_server(tmp_path, {"MODEL": checkpoint, "COMPUTE_TYPE": compute_type}) as server:
        options = {"max_new_tokens": 40, "repetition_guard": False}
        answer = server.translate(texts, "en", "de", **options)
        assert [each["text"] for each in answer["translations"]] == expected
        assert answer["model"] == server.model()["id"] == str(checkpoint)
        events = server.stream(texts[0], "en", "de", **options)
        assert is_whole(events)
        assert deltas(events) == expected[0]


def test_flags_win_over_variables(tmp_path: Path, random_checkpoint: Path) -> None:
    settings = {"MODEL": random_checkpoint, "WORKERS": 2, "MAX_ROWS": 3}
    with running_server(tmp_path, settings, flags=("--workers", "1", "--max-rows=5")) as server:
        model = server.model()
        assert (model["workers"], model["max_rows"]) == (1, 5)
        assert len(server.workers()) == 1
