"""The page at `/docs` in a real browser: it describes the API, tries it, and asks nobody but the server."""

from playwright.sync_api import expect

from tests.support.browser import chromium, visiting
from tests.support.http_server import serving
from tests.support.scripted_app import scripted_app


def test_the_documentation_works_without_a_connection_to_elsewhere() -> None:
    with serving(scripted_app().app) as server, chromium() as browser:
        url = f"http://127.0.0.1:{server.port}"
        with visiting(browser, url) as visit:
            visit.page.goto(f"{url}/docs/")
            operation = visit.page.locator("#operations-operation-get_health_live")
            operation.locator(".opblock-summary").click()
            operation.get_by_role("button", name="Try it out").click()
            operation.get_by_role("button", name="Execute").click()
            expect(operation.locator(".live-responses-table .response td").first).to_contain_text("200")
            assert visit.unexpected == []
