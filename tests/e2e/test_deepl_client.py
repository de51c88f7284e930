"""DeepL's official client, unchanged, against a real server."""

import threading
from collections.abc import Iterator

import deepl
import pytest
from deepl import http_client

from loadtests.bench.loopback import wait_until
from tests.support.oracle import sentences
from tests.support.server import RunningServer

KEY = "any:fx"


@pytest.fixture
def client(server: RunningServer) -> Iterator[deepl.DeepLClient]:
    client = deepl.DeepLClient(KEY, server_url=server.url)
    yield client
    client.close()


def test_a_text_is_the_native_translation(client: deepl.DeepLClient, server: RunningServer) -> None:
    result = client.translate_text("I saw a dog.", source_lang="EN", target_lang="DE")
    assert isinstance(result, deepl.TextResult)
    assert result.text == server.text("I saw a dog.", "en", "de")
    assert (result.detected_source_lang, result.billed_characters) == ("EN", 12)


def test_fifty_texts_are_answered_in_order_and_detected_one_by_one(
    client: deepl.DeepLClient, server: RunningServer
) -> None:
    texts = [*sentences("en", most=48), "", "Das ist schon Deutsch."]
    results = client.translate_text(texts, target_lang="DE", model_type="prefer_quality_optimized")
    assert isinstance(results, list)
    native = server.translate(texts[:48], "en", "de")["translations"]
    assert [each.text for each in results] == [*(each["text"] for each in native), *texts[48:]]
    assert results[-1].detected_source_lang == "DE"
    assert {each.model_type_used for each in results} == {"quality_optimized"}


def test_regions_are_targets(client: deepl.DeepLClient, server: RunningServer) -> None:
    result = client.translate_text("Guten Morgen.", source_lang="DE", target_lang="EN-GB")
    assert str(result) == server.text("Guten Morgen.", "de", "en")


def test_languages_are_those_of_the_model(client: deepl.DeepLClient) -> None:
    assert {each.code for each in client.get_source_languages()} == {"EN", "DE", "FR", "ES", "JA"}
    targets = client.get_target_languages()
    assert {each.code for each in targets} == {"EN-GB", "EN-US", "DE", "FR", "ES", "JA"}
    assert not any(each.supports_formality for each in targets)


def test_usage_grows_by_what_was_billed(client: deepl.DeepLClient) -> None:
    before = client.get_usage().character
    client.translate_text(["Good morning.", "Good night."], source_lang="EN", target_lang="FR")
    after = client.get_usage().character
    assert before.count is not None
    assert after.count == before.count + 24
    assert after.valid
    assert not after.limit_reached


def test_an_unsupported_language_is_named(client: deepl.DeepLClient) -> None:
    with pytest.raises(deepl.DeepLException, match=r"target_lang.*not supported"):
        client.translate_text("Hello", source_lang="EN", target_lang="PT-BR")


def test_a_client_that_timed_out_joins_its_own_first_request(
    client: deepl.DeepLClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "min_connection_timeout", 0.2)
    monkeypatch.setattr(http_client._BackoffTimer, "BACKOFF_INITIAL", 0.2)
    text = "The train that nobody waited for arrived after all."
    results: list[str] = []
    coalesced = server.metric("kakehashi_coalesced_total", kind="request")
    with server.frozen():
        thread = threading.Thread(
            target=lambda: results.append(str(client.translate_text(text, source_lang="EN", target_lang="DE")))
        )
        thread.start()
        wait_until(lambda: server.metric("kakehashi_coalesced_total", kind="request") > coalesced, "the retry joined")
    thread.join()
    assert results == [server.text(text, "en", "de")]
