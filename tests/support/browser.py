"""Headless Chromium on the playground: a visit to a page, and everything that went wrong during it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

PROGRAM = "chromium-headless-shell"
TIME_LIMIT_MILLISECONDS = 20_000
REFUSAL = "Failed to load resource"
"""The beginning of Chromium's message for an error response or a failed connection."""


@dataclass(slots=True)
class Visit:
    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    """Errors of the console and of scripts, including violations of the Content-Security-Policy."""
    requests: list[str] = field(default_factory=list)

    def open(self, fragment: str = "en/de/") -> "Visit":
        self.page.goto(f"{self.url}/#{fragment}")
        return self

    def type(self, text: str) -> None:
        self.page.fill("#text", text)

    def wait_translated(self, text: str | None = None, *, pane: int = 0) -> None:
        """Wait until the translation is shown as words; with `text`, until the joined words equal it."""
        output = self.page.locator(".target .output").nth(pane)
        expect(output.locator(".word").first).to_be_visible()
        if text is not None:
            expect(output).to_have_text(text)

    def status(self) -> Any:
        return expect(self.page.locator("#status"))

    @property
    def unexpected(self) -> list[str]:
        """Errors, and requests to anything but the server."""
        return self.errors + [url for url in self.requests if not url.startswith((self.url + "/", "data:"))]


@contextmanager
def chromium() -> Iterator[Browser]:
    program = shutil.which(PROGRAM)
    assert program is not None, f"{PROGRAM} is not on PATH: `make tools` fetches it"
    expect.set_options(timeout=TIME_LIMIT_MILLISECONDS)
    # Its sandbox needs user namespaces, which containers lack; the pages are our own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def tracing_tasks(page: Page) -> Iterator[list[float]]:
    """Filled at the end with the milliseconds of CPU that each task of the page's main thread took.

    CPU time, because wall time would also measure the other processes on the machine.
    """
    browser = page.context.browser
    assert browser is not None
    tasks: list[float] = []
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
    yield tasks
    events = json.loads(browser.stop_tracing())["traceEvents"]
    (main_thread,) = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "EventDispatch" and event["args"]["data"]["type"] == "keypress"
    }
    tasks += [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "ThreadControllerImpl::RunTask" and (event["pid"], event["tid"]) == main_thread
    ]


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """`options` are those of a Playwright context, such as viewport, color_scheme and locale."""
    context = browser.new_context(**{"locale": "en-GB", **options})
    context.set_default_timeout(TIME_LIMIT_MILLISECONDS)
    visit = Visit(context.new_page(), url)

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(REFUSAL):
            visit.errors.append(message.text)

    visit.page.on("console", note_message)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    try:
        yield visit
    finally:
        context.close()
