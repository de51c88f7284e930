"""What the official clients make of refusals: each must become the error that its users know."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError

import deepl
import pytest
from deepl import http_client
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OverloadedError, ValidationError
from libretranslatepy import LibreTranslateAPI

from tests.support.http_server import serving
from tests.support.scripted_app import ScriptedApp, scripted_app

KEY = "s3cret"


@pytest.fixture
def keyed() -> Iterator[str]:
    """The URL of a server that requires a key."""
    with serving(scripted_app(api_keys=f"alice:{KEY}").app) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def full() -> Iterator[tuple[str, ScriptedApp]]:
    """One whose queue is full."""
    served = scripted_app()
    served.engine.queue_tokens = served.engine.max_queue_tokens
    with serving(served.app) as server:
        yield f"http://127.0.0.1:{server.port}", served


@contextmanager
def deepl_client(url: str, key: str = KEY) -> Iterator[deepl.DeepLClient]:
    client = deepl.DeepLClient(key, server_url=url)
    yield client
    client.close()


def test_deepl_knows_a_wrong_key(keyed: str):
    with deepl_client(keyed) as client:
        assert str(client.translate_text("Hello", source_lang="EN", target_lang="DE")) == "Hello"
        assert client.get_usage().character.count == 5
    with deepl_client(keyed, "wrong") as client, pytest.raises(deepl.AuthorizationException):
        client.translate_text("Hello", source_lang="EN", target_lang="DE")


def test_deepl_retries_when_the_queue_is_full(full: tuple[str, ScriptedApp], monkeypatch: pytest.MonkeyPatch):
    url, served = full
    monkeypatch.setattr(http_client, "max_network_retries", 2)
    monkeypatch.setattr(http_client._BackoffTimer, "BACKOFF_INITIAL", 0.01)
    with deepl_client(url) as client, pytest.raises(deepl.TooManyRequestsException):
        client.translate_text("Hello", target_lang="DE")
    assert 'kakehashi_refused_total{reason="queue-full"} 3.0' in served.metrics.render().decode()


def test_deepl_has_what_it_wanted_once_there_is_room(full: tuple[str, ScriptedApp], monkeypatch: pytest.MonkeyPatch):
    url, served = full
    monkeypatch.setattr(http_client._BackoffTimer, "BACKOFF_INITIAL", 0.01)
    monkeypatch.setattr(
        http_client._BackoffTimer, "sleep_until_deadline", lambda _: setattr(served.engine, "queue_tokens", 0)
    )
    with deepl_client(url) as client:
        assert str(client.translate_text("Hello", source_lang="EN", target_lang="DE")) == "Hello"


def test_deepl_names_rephrasing_as_not_there(keyed: str):
    with deepl_client(keyed) as client, pytest.raises(deepl.DeepLException, match="Not Found"):
        client.rephrase_text("Hello", target_lang="EN-US")


@pytest.mark.parametrize(("key", "status"), [(None, 400), ("wrong", 403)])
def test_libretranslate_knows_no_key_from_a_wrong_one(keyed: str, key: str | None, status: int):
    assert LibreTranslateAPI(keyed, KEY).translate("Hello", "en", "de") == "Hello"
    for call in (LibreTranslateAPI(keyed, key).translate, LibreTranslateAPI(keyed, key).detect):
        with pytest.raises(HTTPError) as caught:
            call("Hello")
        with caught.value as answer:
            assert answer.status == status


def test_libretranslate_is_slowed_down(full: tuple[str, ScriptedApp]):
    with pytest.raises(HTTPError) as caught:
        LibreTranslateAPI(full[0]).translate("Hello", "en", "de")
    with caught.value as answer:
        assert answer.status == 429
        assert answer.read().startswith(b'{"error":"Slowdown: ')


def test_huggingface_knows_a_wrong_key_and_a_wrong_parameter(keyed: str):
    with InferenceClient(keyed, token=KEY) as client:
        assert client.text_generation("Hello") == "Hello"
        with pytest.raises(ValidationError, match="temperature"):
            client.text_generation("Hello", temperature=0)
    with InferenceClient(keyed, token="wrong") as client, pytest.raises(HfHubHTTPError, match="401"):
        client.text_generation("Hello")


@pytest.mark.parametrize("stream", [False, True])
def test_huggingface_knows_an_overloaded_server(full: tuple[str, ScriptedApp], stream: bool):
    with InferenceClient(full[0]) as client, pytest.raises(OverloadedError):
        client.text_generation("Hello", stream=stream)
