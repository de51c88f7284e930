"""Pages through a real server: tags stay, words change, and nothing stops the loop."""

from typing import Any

import pytest

from service.text.markup.html_tokens import html_tokens
from service.text.markup.token import TokenKind
from tests.support.client import deltas
from tests.support.server import RunningServer

PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>My dog</title><style>p { color: red }</style></head>
<body><h1>The dog &amp; the cat</h1>
<p class=a>The <b>black</b> dog <a href="x?y=1&amp;z" title="A red house">sees</a> cats in <code>the</code> house.</p>
<ul><li>One dog<li><img src=x alt="Two dogs"> and a cat</ul></body></html>
"""


def tags(text: str) -> list[tuple[TokenKind, str]]:
    return [(token.kind, token.name) for token in html_tokens(text) if token.kind is not TokenKind.TEXT]


@pytest.mark.parametrize("options", [{}, {"beam_size": 4, "num_hypotheses": 2}], ids=["greedy", "beams"])
def test_a_page_is_translated_with_its_tags(server: RunningServer, options: dict[str, Any]) -> None:
    for target in ("de", "ja"):
        (translation,) = server.translate(PAGE, "en", target, format="html", **options)["translations"]
        for each in translation["hypotheses"]:
            assert tags(each["text"]) == tags(PAGE)
            assert "p { color: red }" in each["text"]
            assert "<code>the</code>" in each["text"]
            assert "A red house" not in each["text"]
        assert deltas(server.stream(PAGE, "en", target, format="html", **options)) == translation["text"]


@pytest.mark.parametrize("part", ["<b>", "<p>", "</p>", "<b title=a>", "&amp;", "<", "<!--", "<i>a</i> "])
def test_no_page_stops_the_event_loop(server: RunningServer, part: str) -> None:
    """The probe of this package's tests watches meanwhile."""
    text = (part * 50_000)[:50_000]
    server.translate(text, "en", "de", format="html", max_new_tokens=1)
