"""LibreTranslate's official client, unchanged, against a real server, and what Mastodon sends."""

from urllib.error import HTTPError

import pytest
from libretranslatepy import LibreTranslateAPI

from tests.support.server import RunningServer


@pytest.fixture
def client(server: RunningServer) -> LibreTranslateAPI:
    return LibreTranslateAPI(server.url)


def test_a_text_is_the_native_translation(client: LibreTranslateAPI, server: RunningServer) -> None:
    text = "Good morning.\nThe cat is sleeping on the table."
    assert client.translate(text, "en", "es") == server.text(text, "en", "es")
    assert client.translate(text, "auto", "ja") == server.text(text, "en", "ja")


def test_a_language_is_detected(client: LibreTranslateAPI) -> None:
    best = client.detect("Wir gehen morgen an den Strand.")[0]
    assert best["language"] == "de"
    assert 50 < best["confidence"] <= 100


def test_languages_come_with_and_without_a_key(client: LibreTranslateAPI, server: RunningServer) -> None:
    languages = client.languages()
    assert [each["code"] for each in languages] == ["en", "de", "fr", "es", "ja"]
    assert LibreTranslateAPI(server.url, "any key").languages() == languages


def test_an_unsupported_language_is_a_bad_request(client: LibreTranslateAPI) -> None:
    with pytest.raises(HTTPError) as caught:
        client.translate("Hello", "en", "tlh")
    with caught.value as answer:
        assert (answer.status, answer.read()) == (400, b'{"error":"tlh is not supported"}')


def test_alternatives_are_other_translations(server: RunningServer) -> None:
    body = {"q": "The old man went to the market.", "source": "en", "target": "de", "alternatives": 3}
    answer = server.client.post("/translate", json=body).json()
    texts = [answer["translatedText"], *answer["alternatives"]]
    assert 2 <= len(texts) <= 4
    assert len(set(texts)) == len(texts)


def test_lists_as_mastodon_sends_them_keep_their_order(server: RunningServer) -> None:
    languages = server.client.get("/languages", headers={"Content-Type": "application/json"}).json()
    assert "de" in next(each["targets"] for each in languages if each["code"] == "en")
    body = {
        "q": ["Good morning.", "", "Guten Tag."],
        "source": "auto",
        "target": "de",
        "format": "text",
        "api_key": None,
    }
    answer = server.client.post("/translate", json=body).json()
    assert answer["translatedText"] == [server.text("Good morning.", "en", "de"), "", "Guten Tag."]
    assert [each["language"] for each in answer["detectedLanguage"]][::2] == ["en", "de"]
