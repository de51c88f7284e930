"""DeepL's glossaries: each key has its own, and what is wrong with one is named."""

from typing import Any

import pytest

from tests.support.asgi import Exchange, call, post
from tests.support.scripted_app import ScriptedApp, scripted_app

GOOD = {"name": "Animals", "source_lang": "EN", "target_lang": "DE", "entries": "dog\tZorbel", "entries_format": "tsv"}
TRANSLATE = {"text": ["A dog."], "source_lang": "EN", "target_lang": "DE"}


@pytest.fixture
def served() -> ScriptedApp:
    """Scripted, with room for three glossaries."""
    return scripted_app(api_keys="alice:a-key,bob:b-key")


def key(name: str) -> dict[str, str]:
    return {"authorization": f"DeepL-Auth-Key {name}-key"}


async def create(served: ScriptedApp, **changes: Any) -> Exchange:
    return await post(served.app, "/v2/glossaries", GOOD | changes, **key("a"))


async def test_a_glossary_is_shown_listed_and_deleted(served: ScriptedApp):
    created = await create(served)
    assert created.status == 201
    one = f"/v2/glossaries/{created.json['glossary_id']}"
    assert created.json | {"name": "Animals", "entry_count": 1, "ready": True, "source_lang": "en"} == created.json
    assert (await call(served.app, "GET", one, headers=key("a"))).json == created.json
    listed = await call(served.app, "GET", "/v2/glossaries", headers=key("a"))
    assert listed.json == {"glossaries": [created.json]}
    entries = await call(served.app, "GET", f"{one}/entries", headers=key("a"))
    assert (entries.body, entries.headers["content-type"]) == (
        b"dog\tZorbel",
        "text/tab-separated-values; charset=utf-8",
    )
    deleted = await call(served.app, "DELETE", one, headers=key("a"))
    assert (deleted.status, deleted.body) == (204, b"")
    assert (await call(served.app, "GET", one, headers=key("a"))).status == 404


async def test_another_key_does_not_see_it(served: ScriptedApp):
    glossary_id = (await create(served)).json["glossary_id"]
    assert (await call(served.app, "GET", "/v2/glossaries", headers=key("b"))).json == {"glossaries": []}
    for method, path in (("GET", ""), ("GET", "/entries"), ("DELETE", "")):
        answer = await call(served.app, method, f"/v2/glossaries/{glossary_id}{path}", headers=key("b"))
        assert (answer.status, answer.json) == (404, {"message": "Glossary not found"})
    answer = await post(served.app, "/v2/translate", TRANSLATE | {"glossary_id": glossary_id}, **key("b"))
    assert (answer.status, answer.json) == (404, {"message": "Glossary not found"})


@pytest.mark.parametrize("target_lang", ["DE", "de", "DE-AT"])
async def test_a_translation_has_its_terms(served: ScriptedApp, target_lang: str):
    glossary_id = (await create(served)).json["glossary_id"]
    body = TRANSLATE | {"glossary_id": glossary_id, "target_lang": target_lang}
    answer = await post(served.app, "/v2/translate", body, **key("a"))
    assert "Zorbel" in answer.json["translations"][0]["text"]


@pytest.mark.parametrize("changes", [{"target_lang": "FR"}, {"source_lang": "ES"}, {"source_lang": None}])
async def test_a_translation_has_the_languages_of_its_glossary(served: ScriptedApp, changes: dict[str, Any]):
    glossary_id = (await create(served)).json["glossary_id"]
    answer = await post(served.app, "/v2/translate", TRANSLATE | {"glossary_id": glossary_id} | changes, **key("a"))
    assert answer.status == 400
    assert "source_lang" in answer.json["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "Value for 'name' not supported"),
        ({"entries": None}, "Value for 'entries' not supported"),
        ({"entries_format": "xml"}, "Value for 'entries_format' not supported"),
        ({"source_lang": "XX"}, "Value for 'source_lang' not supported."),
        ({"target_lang": "EN"}, "Value for 'target_lang' not supported."),
        ({"entries": " \n"}, "there are no entries"),
        ({"entries": "dog\tHund\ncat"}, "entry 2 has no target term"),
        ({"entries": "dog\tHund\tKatze"}, "entry 1 has 3 fields; the limit is 2"),
        ({"entries": "dog\tHund\ndog \tKöter"}, "entry 2 has the source term 'dog' again"),
        ({"entries": "dog\t "}, "entry 1 has an empty term"),
        ({"entries": "dog\t" + "x" * 201}, "a term of entry 1 has 201 characters; the limit is 200"),
        ({"entries": "dog\tHu\x07nd"}, "a term of entry 1 has a control character"),
        ({"entries": "".join(f"{number}\tx\n" for number in range(5_001))}, "more than 5000 entries"),
        ({"entries": '"' + "x" * 70_000 + '\n,"x' * 2, "entries_format": "csv"}, "entry 1"),
    ],
)
async def test_what_is_wrong_with_a_glossary_is_named(served: ScriptedApp, changes: dict[str, Any], message: str):
    answer = await create(served, **changes)
    assert answer.status == 400
    assert message in answer.json["message"]


async def test_entries_may_be_csv_with_the_codes_of_their_languages(served: ScriptedApp):
    entries = '"dog, old","Hund, alt",EN,DE\n\ncat,Katze\n'
    created = await create(served, entries=entries, entries_format="csv")
    path = f"/v2/glossaries/{created.json['glossary_id']}/entries"
    assert (await call(served.app, "GET", path, headers=key("a"))).body == b"dog, old\tHund, alt\ncat\tKatze"


async def test_there_are_no_more_than_the_server_allows(served: ScriptedApp):
    for _ in range(3):
        assert (await create(served)).status == 201
    answer = await create(served)
    assert (answer.status, answer.json["message"][:22]) == (413, "there are 3 glossaries")
    assert (await post(served.app, "/v2/glossaries", GOOD, **key("b"))).status == 201


async def test_the_pairs_of_glossaries_are_those_of_the_models(served: ScriptedApp):
    pairs = (await call(served.app, "GET", "/v2/glossary-language-pairs", headers=key("a"))).json["supported_languages"]
    assert len(pairs) == 20
    assert {"source_lang": "de", "target_lang": "ja"} in pairs
