"""Text as people write it: what is not language comes back as it is, and its words are translated."""

from typing import Any

import pytest

from tests.support.client import deltas
from tests.support.server import RunningServer

UNTOUCHED = [
    "6171-1231-1311-1231",
    "12:30",
    "$3.50",
    "2024-05-01",
    "v1.2.3",
    "https://example.com/a?b=c",
    "<b></b>",
    "👍🏽",
]
KEPT = [
    ("-------- Forwarded message --------", ["-------- ", " --------"]),
    ("<i>Hello there.</i>", ["<i>", "</i>"]),
    ("> > - [ ] Buy two red apples. 🎉", ["> > - [ ] ", " 🎉"]),
    ("Name:\tA dog\t\t12:30\tThe cat", ["\t", "\t\t12:30\t"]),
    ("Hello {name}, you have {{count}} new messages.", ["{name}", "{{count}}"]),
    ("You have {0, plural, one {# dog} other {# dogs}} now.", ["{0, plural, one {# dog} other {# dogs}}"]),
    ("Send %s to %(user)s, %1$d or $1 and ${key}, please.", ["%s", "%(user)s", "%1$d", "$1", "${key}"]),
    ('Click <x id="1"/> on the <b>red</b> house :name here.', ['<x id="1"/>', "<b>", "</b>", ":name"]),
    (
        "Mail jane@example.com or see https://example.com/a.b?c=d now.",
        ["jane@example.com", "https://example.com/a.b?c=d"],
    ),
    ("I like 😀 dogs and ♞ cats.", ["😀", "♞"]),
    ("The room is 5³ and not 53.", ["5³"]),
    ("♪ The dog sings ♪", ["♪ ", " ♪"]),
    ("My  old    dog", ["  ", "    "]),
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_a_text_without_words_comes_back_as_it_is(server: RunningServer, text: str) -> None:
    answer = server.translate(text, "en", "de")
    assert (answer["translations"][0]["text"], answer["usage"]["generated_tokens"]) == (text, 0)


@pytest.mark.parametrize("options", [{}, {"beam_size": 4, "num_hypotheses": 2}], ids=["greedy", "beams"])
@pytest.mark.parametrize(("text", "kept"), KEPT, ids=[text for text, _ in KEPT])
def test_what_is_not_language_comes_through_in_order(
    server: RunningServer, text: str, kept: list[str], options: dict[str, Any]
) -> None:
    for target in ("de", "ja"):
        (translation,) = server.translate(text, "en", target, **options)["translations"]
        for each in translation["hypotheses"]:
            places = [each["text"].find(thing) for thing in kept]
            assert -1 not in places
            assert places == sorted(places)
        assert translation["text"] != text
        assert deltas(server.stream(text, "en", target, **options)) == translation["text"]


def test_what_is_not_language_comes_through_a_third_language(server: RunningServer) -> None:
    translated = server.text("Der <b>rote</b> Hund von {name} schläft. 😀", "de", "fr")
    assert [translated.count(thing) for thing in ("<b>", "</b>", "{name}", "😀")] == [1, 1, 1, 1]
    assert translated.index("<b>") < translated.index("</b>")


@pytest.mark.parametrize(
    "part", ["{", "{a ", "<a ", "1-", "a.", "a@", "👍", "@a ", "%", "&a", "²", "http://", "a_", ":a", "a Ж "]
)
def test_no_text_stops_the_event_loop(server: RunningServer, part: str) -> None:
    """The probe of this package's tests watches meanwhile."""
    text = (part * 50_000)[:50_000]
    server.translate(text, "en", "de", max_new_tokens=1)
