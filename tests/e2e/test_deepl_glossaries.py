"""Glossaries with DeepL's official client, unchanged, against a real server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import deepl
import pytest

from tests.support.server import RunningServer

ENTRIES = {"dog": "Zorbel", "red house": "Mikvan"}


@pytest.fixture
def client(server: RunningServer) -> Iterator[deepl.DeepLClient]:
    client = deepl.DeepLClient("any:fx", server_url=server.url)
    yield client
    for glossary in client.list_glossaries():
        client.delete_glossary(glossary)
    client.close()


def test_a_glossary_is_created_read_used_and_deleted(client: deepl.DeepLClient, server: RunningServer) -> None:
    glossary = client.create_glossary("Animals", source_lang="EN", target_lang="DE", entries=ENTRIES)
    assert (glossary.name, glossary.ready, glossary.entry_count) == ("Animals", True, 2)
    assert datetime.now(UTC) - glossary.creation_time < timedelta(minutes=5)
    assert [each.glossary_id for each in client.list_glossaries()] == [glossary.glossary_id]
    assert client.get_glossary(glossary.glossary_id).creation_time == glossary.creation_time
    assert client.get_glossary_entries(glossary) == ENTRIES
    text = "The dog is in the red house."
    result = client.translate_text_with_glossary(text, glossary)
    native = server.translate(text, "en", "de", glossary=ENTRIES)["translations"][0]["text"]
    assert str(result) == native
    assert "Zorbel" in native
    client.delete_glossary(glossary)
    assert client.list_glossaries() == []


def test_a_glossary_comes_from_csv_and_serves_all_regions(client: deepl.DeepLClient) -> None:
    glossary = client.create_glossary_from_csv("Tiere", "DE", "EN-US", "Hund,zorbel,DE,EN\n")
    result = client.translate_text(
        "Ein Hund bellt.", source_lang="DE", target_lang="EN-GB", glossary=glossary.glossary_id
    )
    assert "zorbel" in str(result).lower()


def test_what_is_wrong_is_the_error_that_the_client_knows(client: deepl.DeepLClient) -> None:
    glossary = client.create_glossary("Animals", source_lang="EN", target_lang="DE", entries=ENTRIES)
    with pytest.raises(deepl.GlossaryNotFoundException):
        client.get_glossary("0")
    with pytest.raises(deepl.DeepLException, match="Glossary not found"):
        client.translate_text("Hello", source_lang="EN", target_lang="DE", glossary="0")
    with pytest.raises(deepl.DeepLException, match="must match the glossary"):
        client.translate_text("Hello", source_lang="EN", target_lang="FR", glossary=glossary.glossary_id)
    with pytest.raises(deepl.DeepLException, match="Invalid glossary entries provided"):
        client.create_glossary_from_csv("Bad", "EN", "DE", "dog\n")


def test_glossary_languages_are_those_of_the_models(client: deepl.DeepLClient) -> None:
    pairs = {(each.source_lang, each.target_lang) for each in client.get_glossary_languages()}
    assert ("EN", "DE") in {(source.upper(), target.upper()) for source, target in pairs}
    assert len(pairs) == 20
