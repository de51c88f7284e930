"""The playground while its server refuses, asks for a key, or goes away and comes back."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect

from loadtests.bench.loopback import wait_until
from tests.support.browser import Visit, chromium, visiting
from tests.support.http_server import HttpServer, serving
from tests.support.scripted_app import ScriptedApp, scripted_app

TEXT, KEY = "Good morning.", "s3cret:schlüssel"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def scripted() -> ScriptedApp:
    return scripted_app()


@pytest.fixture
def http(scripted: ScriptedApp) -> Iterator[HttpServer]:
    with serving(scripted.app) as http:
        yield http


@pytest.fixture
def visit(browser: Browser, http: HttpServer) -> Iterator[Visit]:
    with visiting(browser, f"http://127.0.0.1:{http.port}") as visit:
        yield visit.open()
        assert visit.unexpected == []


def test_a_full_queue_is_waited_for(visit: Visit, scripted: ScriptedApp):
    scripted.engine.queue_tokens = scripted.engine.max_queue_tokens
    visit.type(TEXT)
    visit.status().to_contain_text("The server is busy. Trying again in")
    scripted.engine.queue_tokens = 0
    visit.wait_translated(TEXT)


def test_a_server_that_starts_is_waited_for_and_can_be_tried_at_once(visit: Visit, scripted: ScriptedApp):
    scripted.engine.is_ready = False
    visit.type(TEXT)
    visit.status().to_contain_text("The server is starting or stopping.")
    scripted.engine.is_ready = True
    visit.page.click("#retry")
    visit.wait_translated(TEXT)
    expect(visit.page.locator("#retry")).to_be_hidden()


def test_a_text_over_the_limit_is_not_sent(visit: Visit, scripted: ScriptedApp):
    visit.type("x" * 2_010)
    expect(visit.page.locator("#left")).to_have_text("10 characters too many")
    visit.type(TEXT)
    visit.wait_translated(TEXT)
    assert {each.spec.source_ids for each in scripted.engine.submitted} == {
        scripted.engine.submitted[0].spec.source_ids
    }


def test_a_refusal_is_shown_in_the_servers_words(visit: Visit, scripted: ScriptedApp):
    visit.page.locator("#options summary").click()
    visit.page.fill("#temperature", "1000")
    visit.type(TEXT)
    visit.status().to_contain_text("temperature")


def test_a_restart_in_the_middle_of_a_stream_is_survived(browser: Browser):
    before, after = scripted_app(), scripted_app()
    before.engine.hold()
    with ExitStack() as running, ExitStack() as visits:
        http = running.enter_context(serving(before.app))
        visit = visits.enter_context(visiting(browser, f"http://127.0.0.1:{http.port}"))
        visit.open().type(TEXT)
        wait_until(lambda: before.engine.open_specs, "the text is being translated")
        running.close()
        visit.status().to_contain_text("The server cannot be reached. Trying again in")
        visits.enter_context(serving(after.app, port=http.port))
        visit.wait_translated(TEXT)
        assert visit.unexpected == []


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Browser):
    app = scripted_app(api_keys=f"alice:{KEY}").app
    with serving(app) as http, visiting(browser, f"http://127.0.0.1:{http.port}") as visit:
        visit.open()
        for key in ("wr0ng", KEY):
            visit.page.fill("#key", key)
            visit.page.keyboard.press("Enter")
        visit.type(TEXT)
        visit.wait_translated(TEXT)
        visit.page.reload()
        visit.wait_translated(TEXT)
        assert visit.page.evaluate("Object.keys(localStorage)") == []
