"""LibreTranslate's API: fields in every place, its checks in its order, its answers."""

from typing import Any

import pytest

from service.translation.language_pair import LanguagePair
from tests.support.asgi import Exchange, call, post
from tests.support.scripted_app import ScriptedApp, scripted_app

GOOD = {"q": "Hello", "source": "en", "target": "de"}
URL_ENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
FORM = {"content-type": URL_ENCODED}


async def translate(served: ScriptedApp, **fields: Any) -> Any:
    answer = await post(served.app, "/translate", GOOD | fields)
    assert answer.status == 200, answer.body
    return answer.json


async def refusal(served: ScriptedApp, fields: dict[str, Any]) -> str:
    answer = await post(served.app, "/translate", fields)
    assert answer.status == 400
    (error,) = answer.json.values()
    return str(error)


def multipart(fields: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
    return "".join([*parts, "--x--\r\n"]).encode(), {"content-type": MULTIPART}


CHECKS: list[tuple[dict[str, Any], str]] = [
    ({"q": None}, "Invalid request: missing q parameter"),
    ({"q": ""}, "Invalid request: missing q parameter"),
    ({"q": []}, "Invalid request: missing q parameter"),
    ({"source": None}, "Invalid request: missing source parameter"),
    ({"target": ""}, "Invalid request: missing target parameter"),
    ({"alternatives": "many"}, "Invalid request: alternatives parameter is not a number"),
    ({"alternatives": 8}, "Invalid request: alternatives parameter must be <= 7"),
    ({"q": "x" * 2_001}, "Invalid request: request (2001) exceeds text limit (2000)"),
    ({"q": ["x"] * 17}, "Invalid request: request (17) exceeds text limit (16)"),
    ({"source": "ZZ"}, "zz is not supported"),
    ({"target": "z" * 1_000}, f"{'z' * 36} is not supported"),
    ({"format": "xml", "q": "a & b"}, "xml format is not supported"),
]


@pytest.mark.parametrize(("changes", "sentence"), CHECKS)
async def test_a_wrong_field_has_its_sentence(scripted: ScriptedApp, changes: dict[str, Any], sentence: str):
    assert await refusal(scripted, GOOD | changes) == sentence


async def test_checks_come_in_their_order(scripted: ScriptedApp):
    """With everything wrong the first sentence comes, and each one that is mended uncovers the next."""
    mended: dict[str, Any] = {"format": "xml"}
    wrong = {"alternatives": "many", "target": "zz"}
    for field, value in (("q", "Hello"), ("source", "en")):
        assert await refusal(scripted, mended) == f"Invalid request: missing {field} parameter"
        mended[field] = value
    assert (await refusal(scripted, mended)).endswith("missing target parameter")
    assert (await refusal(scripted, mended | wrong)).endswith("alternatives parameter is not a number")
    assert await refusal(scripted, mended | wrong | {"alternatives": 0}) == "zz is not supported"


async def test_a_list_is_answered_with_lists_and_keeps_what_is_empty(scripted: ScriptedApp):
    answer = await translate(scripted, q=["Good morning", "", "Good night"], source="auto", alternatives=1)
    assert answer["translatedText"] == ["Good morning", "", "Good night"]
    assert [each["language"] for each in answer["detectedLanguage"]] == ["en", "en", "en"]
    assert answer["detectedLanguage"][1]["confidence"] == 0
    assert answer["alternatives"] == [[], [], []]  # the scripted engine has one text for all


async def test_the_answer_has_only_what_was_asked_for(scripted: ScriptedApp):
    assert await translate(scripted) == {"translatedText": "Hello"}
    assert await translate(scripted, alternatives=-1, unknown=True) == {"translatedText": "Hello"}
    assert (await translate(scripted, q="😀 ", source="auto"))["detectedLanguage"] == {
        "confidence": 0,
        "language": "en",
    }


async def test_a_text_in_the_target_language_comes_back_as_it_is(scripted: ScriptedApp):
    await translate(scripted, q=["Ich sehe einen Hund."], source="auto")
    await translate(scripted, source="de")
    assert not scripted.engine.submitted


async def test_alternatives_are_hypotheses_of_a_beam(scripted: ScriptedApp):
    await translate(scripted, alternatives="3")
    (submitted,) = scripted.engine.submitted
    assert (submitted.spec.beam_size, submitted.spec.num_hypotheses) == (4, 4)


@pytest.mark.parametrize(
    ("query", "body", "headers"),
    [
        (b"", b"q=One+%C3%A9%0D%0Atwo%0D%0A&source=en&target=de&api_key=", FORM),
        (b"", "q=One é\ntwo\n&source=en&target=de".encode(), FORM),
        (b"q=One+%C3%A9%0Atwo&source=en", b"target=de", FORM),
        (b"q=One+%C3%A9%0Atwo&source=en&target=de", b"", {}),
        (b"", *multipart(GOOD | {"q": "One é\r\ntwo", "alternatives": "0"})),
        (b"", multipart(GOOD | {"q": "One é\r\ntwo"})[0], {"content-type": f"{MULTIPART}; charset=punycode"}),
    ],
    ids=["form", "raw form", "form and query", "query", "multipart", "multipart in a charset"],
)
async def test_fields_are_read_from_every_place(
    scripted: ScriptedApp, query: bytes, body: bytes, headers: dict[str, str]
):
    answer = await call(scripted.app, "POST", "/translate", query=query, body=body, headers=headers)
    assert answer.json == {"translatedText": "One é\ntwo"}


async def test_the_query_does_not_count_beside_json(scripted: ScriptedApp):
    answer = await call(scripted.app, "POST", "/translate", query=b"target=de", body=b'{"q": "Hello", "source": "en"}')
    assert answer.json == {"error": "Invalid request: missing target parameter"}


PART = b"--x\r\nContent-Disposition: form-data%b\r\n\r\na\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"q=%ff", URL_ENCODED),
        (b"&".join([b"q=a"] * 5_000), URL_ENCODED),
        (b"--x", "multipart/form-data"),
        (b"junk", MULTIPART),
        (PART % b"", MULTIPART),
        (PART % b'; name="q"; filename="f"', MULTIPART),
        (b'{"q": "\\ud800", "source": "en", "target": "de"}', "application/json"),
        (b'{"q": ["a", null], "source": "en", "target": "de"}', "application/json"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(scripted: ScriptedApp, body: bytes, media_type: str):
    answer = await call(scripted.app, "POST", "/translate", body=body, headers={"content-type": media_type})
    assert answer.status == 400
    assert answer.json["error"].startswith("Invalid request")


async def test_detection_names_languages_in_percent(scripted: ScriptedApp):
    answer = await post(scripted.app, "/detect", {"q": "Ich sehe einen Hund."})
    assert answer.json[0]["language"] == "de"
    assert 50 < answer.json[0]["confidence"] <= 100
    assert (await post(scripted.app, "/detect", {"q": "😀"})).json == [{"confidence": 0, "language": "en"}]
    assert (await post(scripted.app, "/detect", {})).json == {"error": "Invalid request: missing q parameter"}


async def test_listings_are_open_and_settings_say_that_there_are_keys():
    served = scripted_app(api_keys="alice:s3cret", default_pair=LanguagePair("en", "ja"))
    languages = (await call(served.app, "GET", "/languages", body=b"api_key=x", headers=FORM)).json
    assert languages[0] == {"code": "en", "name": "English", "targets": ["en", "de", "fr", "es", "ja"]}
    settings = (await call(served.app, "GET", "/frontend/settings")).json
    assert (settings["apiKeys"], settings["keyRequired"], settings["charLimit"]) == (True, True, 2_000)
    assert settings["language"]["target"] == {"code": "ja", "name": "Japanese"}
    assert (await post(served.app, "/detect", {"q": "Hello"})).status == 400


async def test_health_is_that_of_the_server(scripted: ScriptedApp):
    assert (await call(scripted.app, "GET", "/health", body=b"{}")).json == {"status": "ok"}
    scripted.engine.is_ready = False
    assert (await Exchange(scripted.app, "GET", "/health").wait()).status == 503


async def test_html_keeps_its_tags_and_has_no_alternatives(scripted: ScriptedApp):
    answer = await translate(scripted, q='<p><a href="x">Good morning</a></p>', format="html", alternatives=2)
    assert answer["translatedText"] == '<p><a href="x">Good morning</a></p>'
    assert answer["alternatives"] == []
