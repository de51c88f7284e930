"""The playground in languages that are written from right to left.

The bundled model has none of them, so the server's answers are scripted: a stream into Hebrew, and the languages.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.support.browser import Visit, chromium, visiting
from tests.support.http_server import serving
from tests.support.scripted_app import scripted_app

SOURCE = "القطة تنام."
PIECES = ["החתול", " ישן", "."]


def event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def hebrew_stream() -> str:
    place = {"text_index": 0, "target_lang": "he"}
    tokens = [
        {**place, "sentence_index": 0, "text": piece, "alignment": [float(at == index) for at in range(3)]}
        for index, piece in enumerate(PIECES)
    ]
    translation = {
        **place,
        "text": "".join(PIECES),
        "hypotheses": [],
        "source_tokens": [["▁القطة", "▁تنام", "."]],
    }
    usage = {"generated_tokens": 3, "encoder_cache_hits": 0, "encoder_cache_misses": 1}
    events = [event("start", {"model": "m"}), *(event("token", each) for each in tokens)]
    return "".join([*events, event("translation", translation), event("done", {"usage": usage})])


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    languages = {"languages": [{"code": "ar", "targets": ["he"]}, {"code": "he", "targets": ["ar"]}]}

    def answer_stream(route: Route) -> None:
        route.fulfill(body=hebrew_stream(), content_type="text/event-stream")

    with (
        serving(scripted_app().app) as http,
        chromium() as browser,
        visiting(browser, f"http://127.0.0.1:{http.port}") as visit,
    ):
        visit.page.route("**/v1/languages", lambda route: route.fulfill(json=languages))
        visit.page.route("**/v1/translations", answer_stream)
        visit.open("ar/he/").type(SOURCE)
        visit.wait_translated("".join(PIECES))
        yield visit
        assert visit.unexpected == []


@pytest.mark.parametrize("part", ["#text", "#mirror", ".target .output"])
def test_a_text_runs_from_right_to_left(visit: Visit, part: str):
    assert visit.page.eval_on_selector(part, "each => getComputedStyle(each).direction") == "rtl"


def test_the_left_arrow_moves_to_the_next_word_and_lights_its_counterpart(visit: Visit):
    visit.page.locator(".word").first.focus()
    visit.page.keyboard.press("ArrowLeft")
    expect(visit.page.locator(".word:focus")).to_have_text("ישן.")
    expect(visit.page.locator("#mirror .lit")).to_have_text(["تنام."])
    visit.page.keyboard.press("ArrowRight")
    expect(visit.page.locator(".word:focus")).to_have_text("החתול")


def test_the_highlight_lies_under_the_word_that_is_typed(visit: Visit):
    first, second = (visit.page.locator("#mirror span").nth(index).bounding_box() for index in range(2))
    assert first is not None
    assert second is not None
    assert first["x"] > second["x"]
