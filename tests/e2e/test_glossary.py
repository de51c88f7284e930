"""A glossary of the request, on the native API."""

from typing import Any

import pytest

from tests.support.client import deltas
from tests.support.server import RunningServer

TEXT = "The dog saw a <b>red</b> house and {name} saw a tree."
TERMS = {"dog": "Zorbel", "house": "Mikvan"}


@pytest.mark.parametrize("options", [{}, {"beam_size": 4, "num_hypotheses": 2}], ids=["greedy", "beams"])
@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("en", "ja"), ("fr", "es")])
def test_terms_are_in_the_translation_streamed_or_not(
    server: RunningServer, source: str, target: str, options: dict[str, Any]
) -> None:
    text = TEXT if source == "en" else "Le chien voit une <b>maison</b> rouge et {name} voit un arbre."
    terms = TERMS if source == "en" else {"chien": "Zorbel", "maison": "Mikvan"}
    (translation,) = server.translate(text, source, target, glossary=terms, **options)["translations"]
    for each in translation["hypotheses"]:
        assert [each["text"].count(thing) for thing in ("Zorbel", "Mikvan", "{name}", "<b>", "</b>")] == [1] * 5
    assert deltas(server.stream(text, source, target, glossary=terms, **options)) == translation["text"]


def test_without_a_term_in_the_text_a_glossary_changes_nothing(server: RunningServer) -> None:
    (translation,) = server.translate("I saw a tree.", "en", "de", glossary=TERMS)["translations"]
    assert translation["text"] == server.text("I saw a tree.", "en", "de")


def test_the_most_terms_do_not_stop_the_event_loop(server: RunningServer) -> None:
    """The probe of this package's tests watches meanwhile."""
    terms = {f"{'a' * (1 + number % 190)} {number}": "b" for number in range(4_900)} | {"a": "b"}
    text = "".join(f"{'a ' * 240}{number}.\n" for number in range(100))
    server.translate(text, "en", "de", glossary=terms)
