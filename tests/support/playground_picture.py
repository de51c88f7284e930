"""Take the picture of the README: `python -m tests.support.playground_picture FILE` (`make picture`).

The module starts its own server. The machine needs a font with Japanese, such as Debian's fonts-noto-cjk.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import expect

from tests.support.browser import chromium, visiting
from tests.support.server import running_server

TEXT = "The cat is sleeping on the table. We are going to the beach tomorrow."
SIZE = {"width": 1280, "height": 1325}


def main() -> None:
    (path,) = map(Path, sys.argv[1:])
    with (
        TemporaryDirectory() as directory,
        running_server(Path(directory)) as server,
        chromium() as browser,
        visiting(browser, server.url, viewport=SIZE, color_scheme="light", reduced_motion="reduce") as visit,
    ):
        page = visit.open("en/es,ja/").page
        visit.type(TEXT)
        visit.wait_translated(pane=1)
        page.click("#inside summary")
        expect(page.locator("#rows .beam").first).to_be_visible()
        page.locator("#step").fill("3")
        page.locator(".word", has_text="durmiendo").hover()
        page.screenshot(path=path)


if __name__ == "__main__":
    main()
