"""The playground in a real browser, on a server as users run it."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.support.browser import Visit, chromium, tracing_tasks, visiting
from tests.support.server import RunningServer

TEXT = "The cat is sleeping on the table. We are going to the beach tomorrow."
FRAME_MILLISECONDS = 50
"""The limit of CPU time for a task of the page, so that typing stays responsive."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, server: RunningServer) -> Iterator[Visit]:
    """Ends with no error, and no request to anywhere else."""
    with visiting(browser, server.url) as visit:
        yield visit
        assert visit.unexpected == []


def num_requests(server: RunningServer, outcome: str) -> float:
    return server.metric("kakehashi_requests_total", endpoint="/v1/translations", outcome=outcome)


def test_a_text_that_is_typed_is_translated(visit: Visit, server: RunningServer):
    visit.open()
    visit.type(TEXT)
    visit.wait_translated(server.text(TEXT, "en", "de"))
    assert visit.page.url.endswith("#en/de/" + TEXT.replace(" ", "%20"))


def test_typing_on_cancels_the_stream_and_the_last_text_wins(visit: Visit, server: RunningServer, long_text: str):
    visit.open()
    expect(visit.page.locator("#source-language option")).not_to_have_count(1)
    cancelled, ok = num_requests(server, "cancelled"), num_requests(server, "ok")
    visit.type(long_text[:40_000])
    expect(visit.page.locator(".target .output")).not_to_be_empty()
    visit.type("Good morning.")
    visit.wait_translated(server.text("Good morning.", "en", "de"))
    # The test's own, the stream, and the one for the alignment.
    assert num_requests(server, "ok") - ok == 3
    assert num_requests(server, "cancelled") - cancelled == 1


def test_two_targets_are_translated_from_one_encoding(visit: Visit, server: RunningServer):
    text = "Seven birds are singing in the old tree."
    encoded = server.metric("kakehashi_encoder_cache_requests_total", result="miss")
    visit.open("en/de,ja/")
    visit.page.fill("#text", text)  # at once: on a busy machine, a pause in typing is an end of it
    for pane, target in enumerate(("de", "ja")):
        visit.wait_translated(server.text(text, "en", target), pane=pane)
    assert server.metric("kakehashi_encoder_cache_requests_total", result="miss") - encoded == 1


def test_the_source_is_detected_and_swapped(visit: Visit, server: RunningServer):
    visit.open("auto/en/Der%20Hund%20schläft%20auf%20dem%20Tisch.")
    english = server.text("Der Hund schläft auf dem Tisch.", "de", "en")
    visit.wait_translated(english)
    expect(visit.page.locator("#detected")).to_have_text("Detected: German")
    visit.page.click("#swap")
    expect(visit.page.locator("#text")).to_have_value(english)
    visit.wait_translated(server.text(english, "en", "de"))
    assert visit.page.input_value("#source-language") == "en"


def test_pointing_at_a_word_lights_its_counterpart(visit: Visit):
    visit.open()
    visit.type(TEXT)
    visit.wait_translated()
    visit.page.locator(".word", has_text="Katze").hover()
    expect(visit.page.locator("#mirror .lit")).to_have_text(["cat"])
    expect(visit.page.locator("#mirror .lit-sentence").last).to_have_text("table.")
    box = visit.page.locator("#mirror span", has_text="tomorrow").bounding_box()
    assert box is not None
    visit.page.mouse.move(box["x"] + 5, box["y"] + 5)
    expect(visit.page.locator(".target .lit")).to_have_text(["morgen"])


def test_an_alternative_is_chosen_by_keyboard_and_the_rest_follows(visit: Visit, server: RunningServer):
    visit.open()
    visit.type(TEXT)
    visit.wait_translated()
    visit.page.locator(".word").nth(0).focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#alternatives button:focus")).to_have_count(1)
    visit.page.keyboard.press("ArrowDown")
    chosen = visit.page.locator("#alternatives button:focus span").inner_text()
    before = visit.page.locator(".word").nth(0).inner_text()
    visit.page.keyboard.press("Enter")
    first, second = TEXT.split(". ")
    rest = server.text(first + ".", "en", "de", prefix=f"{before} {chosen}")
    visit.wait_translated(f"{rest} {server.text(second, 'en', 'de')}")


def test_a_glossary_is_honoured_as_soon_as_a_line_of_it_is_whole(visit: Visit, server: RunningServer):
    text = "The cat is sleeping on the table."
    visit.open()
    visit.type(text)
    visit.page.click("#options summary")
    visit.page.locator("#glossary").press_sequentially("cat = Stubentiger\ntable")
    visit.wait_translated(server.text(text, "en", "de", glossary={"cat": "Stubentiger"}))


def test_an_explanation_is_drawn_and_its_steps_are_played(visit: Visit):
    visit.open()
    visit.type("The cat is sleeping.")
    visit.page.click("#inside summary")
    expect(visit.page.locator("#rows .beam").first).to_be_visible()
    for chart in ("#heatmap .cell", "#bars .bar.chosen", "#mask .masked"):
        expect(visit.page.locator(chart).first).to_be_visible()
    visit.page.locator("#step").fill("1")
    expect(visit.page.locator("#step-number")).to_contain_text("2 / ")
    visit.page.click("#play")
    expect(visit.page.locator("#step-number")).to_contain_text("3 / ")
    expect(visit.page.locator("#rows .now")).to_have_count(1)


def test_the_server_part_shows_the_request_and_its_events(visit: Visit):
    visit.open()
    visit.page.click("#server summary")
    visit.type("Good evening.")
    visit.wait_translated()
    for fact in ("first", "rate", "cache", "rows"):
        expect(visit.page.locator(f"#fact-{fact}")).to_have_text(re.compile(r"\d"))
    expect(visit.page.locator("#request-code")).to_contain_text("curl -N http://127.0.0.1")
    visit.page.focus("#tab-curl")
    visit.page.keyboard.press("End")
    expect(visit.page.locator("#request-code")).to_contain_text("event: done")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_is_accessible_and_fits_its_window(browser: Browser, server: RunningServer, width: int, scheme: str):
    look = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with visiting(browser, server.url, **look) as visit:
        visit.open("en/de,ja/").type(TEXT)
        visit.wait_translated(pane=1)
        for part in ("options", "inside", "server"):
            visit.page.click(f"#{part} summary")
        expect(visit.page.locator("#rows .beam").first).to_be_visible()
        found = Axe().run(visit.page)
        assert found.violations_count == 0, found.generate_report()
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
        assert visit.unexpected == []


def test_the_page_speaks_five_languages(visit: Visit):
    titles = {"de": "Ins Innere sehen", "fr": "Voir à l’intérieur", "es": "Ver por dentro", "ja": "内側を見る"}
    visit.open()
    for code, title in titles.items():
        visit.page.select_option("#page-language", code)
        expect(visit.page.locator("#inside summary")).to_have_text(title)
        assert visit.page.get_attribute("html", "lang") == code


def test_typing_stays_responsive_in_a_long_text(visit: Visit, long_text: str):
    visit.open()
    visit.type(long_text[:5_000])
    visit.wait_translated()
    with tracing_tasks(visit.page) as tasks:
        visit.page.locator("#text").press_sequentially(" And so on.")
        visit.wait_translated()
    assert len(tasks) > 100
    assert max(tasks) < FRAME_MILLISECONDS, "milliseconds of CPU"
