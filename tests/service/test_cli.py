"""An error at the start is named, and decides the exit status, before any process starts."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from service import cli
from service.api.api_keys import digest_of
from service.api.key_entries import parse_lines
from service.app import read_api_keys
from service.rates.allowance import Allowance
from service.settings import Settings
from tests.support.checkpoints import random_m2m100


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    message: str


@pytest.fixture(scope="module")
def sound_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("sound"), seed=3)


@pytest.fixture
def checkpoint(sound_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(sound_checkpoint, tmp_path / "checkpoint")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a developer's `.env`, variables and network; pytest keeps the logging."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("KAKEHASHI_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(cli, "configure_logging", lambda **_: None)


Serve = Callable[..., Refusal]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Serve:
    """`kakehashi serve` with these flags, and KAKEHASHI_ variables by keyword."""

    def serve(*flags: str, **settings: object) -> Refusal:
        with monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(f"KAKEHASHI_{name}", str(value))
            with pytest.raises(SystemExit) as ended:
                cli.main(["serve", *flags])
        return Refusal(int(ended.value.code or 0), capsys.readouterr().err)

    return serve


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
        (of_unknown_type, "model_type 'opt'"),
        (without("config.json"), "config.json"),
        (garbled("config.json"), "config.json"),
        (without("vocab.json"), "vocab.json"),
        (without("sentencepiece.bpe.model"), "sentencepiece.bpe.model"),
        (garbled("sentencepiece.bpe.model"), "sentencepiece.bpe.model"),
    ],
)
def test_a_damaged_checkpoint_is_named(
    refused: Serve, checkpoint: Path, damage: Callable[[Path], object], named: str
) -> None:
    damage(checkpoint)
    refusal = refused(MODEL=checkpoint, WORKERS=1)
    assert refusal.status == 1
    assert named in refusal.message
    assert str(checkpoint) in refusal.message


@pytest.mark.parametrize("reference", ["nowhere", "./nowhere", "no/where", "no/where@main", "a/b/c"])
def test_a_checkpoint_that_is_nowhere_is_named(refused: Serve, reference: str) -> None:
    refusal = refused(MODEL=reference)
    assert refusal.status == 1
    assert f"cannot serve {reference}" in refusal.message or f"kakehashi: {reference}:" in refusal.message


def test_a_second_checkpoint_that_is_nowhere_is_named(refused: Serve, checkpoint: Path) -> None:
    refusal = refused(MODEL=f"{checkpoint},./nowhere")
    assert refusal.status == 1
    assert "./nowhere" in refusal.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODEL", ""), ("PORT", "http"), ("MAX_ROWS", "0"), ("COMPUTE_TYPE", "int3"), ("GRACE_SECONDS", "soon")],
)
def test_a_wrong_setting_is_named_whether_a_variable_or_a_flag(refused: Serve, name: str, value: str) -> None:
    flag = f"--{name.lower().replace('_', '-')}"
    for refusal in (refused(**{name: value}), refused(flag, value)):
        assert refusal.status == 2
        assert f"KAKEHASHI_{name}: '{value}'" in refusal.message


def test_an_unknown_setting_is_named(refused: Serve) -> None:
    for refusal, named in (
        (refused(MAX_ROW=4), "KAKEHASHI_MAX_ROW is not a setting"),
        (refused("--max-rowz", "4"), "--max-rowz"),
    ):
        assert refusal.status == 2
        assert named in refusal.message


def test_a_setting_in_the_env_file_counts_as_one(refused: Serve, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAKEHASHI_MAX_ROWS=none\n")
    refusal = refused()
    assert refusal.status == 2
    assert "KAKEHASHI_MAX_ROWS: 'none'" in refusal.message


def test_a_default_language_that_is_not_served_is_named(refused: Serve) -> None:
    refusal = refused(DEFAULT_TARGET_LANG="tlh")
    assert refusal.status == 2
    assert "KAKEHASHI_DEFAULT_TARGET_LANG: target_lang 'tlh' is not one of de, fr, es, ja, en" in refusal.message


def test_a_redis_url_that_cannot_be_used_is_named_without_its_password(refused: Serve) -> None:
    refusal = refused(REDIS_URL="redis+sentinel://:geheim@localhost:26379")
    assert refusal.status == 2
    assert "KAKEHASHI_REDIS_URL: " in refusal.message
    assert "geheim" not in refusal.message


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"API_KEYS": "alice:first,geheim"}, "KAKEHASHI_API_KEYS: entry 2 is not name:key"),
        ({"API_KEYS": ","}, "KAKEHASHI_API_KEYS: there is no key in it"),
        ({"API_KEYS_FILE": "wrong"}, "KAKEHASHI_API_KEYS_FILE: 'wrong': line 2 is not name:key"),
        ({"API_KEYS_FILE": "empty"}, "KAKEHASHI_API_KEYS_FILE: 'empty': there is no key in it"),
        ({"API_KEYS_FILE": "nowhere"}, "KAKEHASHI_API_KEYS_FILE: 'nowhere' cannot be read: No such file or directory"),
        ({"API_KEYS_FILE": "bytes"}, "KAKEHASHI_API_KEYS_FILE: 'bytes' is not UTF-8"),
        ({"API_KEYS": "bob:geheim", "API_KEYS_FILE": "wrong"}, "KAKEHASHI_API_KEYS and KAKEHASHI_API_KEYS_FILE are"),
    ],
)
def test_wrong_api_keys_are_refused_and_not_shown(refused: Serve, settings: dict[str, str], named: str) -> None:
    Path("wrong").write_text("alice:first\ngeheim\n")
    Path("empty").write_text("# no key\n")
    Path("bytes").write_bytes(b"alice:geheim\xff")
    refusal = refused(**settings)
    assert refusal.status == 2
    assert named in refusal.message
    assert "geheim" not in refusal.message


def test_a_server_for_others_without_keys_is_warned_of(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\ufeffalice:first\n", encoding="utf-8")
    for settings in (Settings(), Settings(host="::1"), Settings(host="0.0.0.0", api_keys_file=str(tmp_path / "keys"))):
        read_api_keys(settings)
    assert not caplog.messages
    read_api_keys(Settings(host="0.0.0.0"))
    assert caplog.messages == ["no API keys are set: everyone who reaches 0.0.0.0 can use this server"]


def test_a_tracing_protocol_that_is_not_spoken_is_named(refused: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    refusal = refused()
    assert refusal.status == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not supported" in refusal.message


def test_a_new_key_is_one_line_for_the_file_and_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["key", "alice", "--requests", "600", "--characters", "1000"])
    assert ended.value.code == 0
    output = capsys.readouterr()
    (key,) = parse_lines(output.out)
    assert (key.name, key.allowance) == ("alice", Allowance(600, 1000))
    assert digest_of(output.err.split()[-1]) == key.digest


def test_a_key_with_a_bad_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["key", "al ice"])
    assert (ended.value.code, capsys.readouterr().out) == (2, "")
