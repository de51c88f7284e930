"""What is not language is found whole, and words are left alone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.patterns import known_things
from service.text.span import Kind
from service.text.verbatim import find_spans

NAMES = [
    *(
        "{name}",
        "{{count}}",
        "{0, plural, one {# file} other {# files}}",
        "%s",
        "%(user)s",
        "%1$d",
        "%.2f",
        "$1",
        "${key}",
    ),
    *("$name", ":name", "%{user}", "{{ user.name }}", "{% if x %}", "<%= x %>", "%1", "{0}"),
    *("https://example.com/a.b?c=d.e", "http://a.b/x_(y)", "www.example.org", "mailto:a@b.org", "example.com/help"),
    *("jane.doe+x@mail.example.co.uk", "@someone", "#topic"),
    *(
        "6171-1231-1311-1231",
        "192.168.0.1",
        "2024-05-01",
        "2024-05-01T12:30:00Z",
        "v1.2.3",
        "ABC-12345",
        "4111 1111 1111 1111",
    ),
    *("550e8400-e29b-41d4-a716-446655440000", "0xDEADBEEF", "deadbeef1", "+49 30 1234567", "#ff00aa", "`git push`"),
    *("snake_case", "main()", "report_v2.pdf", "/usr/local/bin", "C:\\x\\y", "__init__", "--flag=3"),
    *("5³", "m²", "CO₂", "2½"),
]
MARKS = [
    "😀",
    "👩‍👩‍👧",
    "🇯🇵",
    "👍🏽",
    "5️⃣",
    "❤️",
    "™",
    "→",
    "♪",
    ":-)",
    "<br>",
    '<x id="1"/>',
    "&nbsp;",
    "<!-- x -->",
    "____",
    "-----",
]
WORDS = [
    *(
        "It is 3.5 and 1,000,000 or 1.000.000 at 12:30.",
        "Am 3. Mai kostete es 3,50 € oder $300.",
        "MP3, 4K and the 1990s",
    ),
    *(
        "He said: yes; and/or it's well-known – or not…",
        "C'est l'été : « Oui ! »",
        "a < b, 50 % off",
        "彼は「はい。」と言った。",
        "x",
    ),
    *("Dr. Smith (U.S.) left.", "The 20th of May, 5th floor", "100% sure, 100 % sure", "-5 degrees", "e.g. this"),
]


@pytest.mark.parametrize("thing", NAMES)
@pytest.mark.parametrize(("before", "after"), [("See ", " here."), ("", ""), ("これは", "です。"), ("(", ")")])
def test_a_name_is_found_whole(thing: str, before: str, after: str) -> None:
    (found,) = known_things(before + thing + after)
    assert (found.start, found.end, found.kind) == (len(before), len(before) + len(thing), Kind.NAME)


@pytest.mark.parametrize("thing", MARKS)
def test_a_mark_is_found_whole(thing: str) -> None:
    (found,) = known_things(f"See {thing} here.")
    assert (found.start, found.end, found.kind) == (4, 4 + len(thing), Kind.MARK)


def test_tags_open_and_close() -> None:
    kinds = [span.kind for span in known_things('<b>Hi</b> <a href="x > y">there</a>')]
    assert kinds == [Kind.OPENING, Kind.CLOSING] * 2


@pytest.mark.parametrize("text", WORDS)
def test_words_and_numbers_are_language(text: str) -> None:
    assert list(known_things(text)) == []


@given(st.lists(st.sampled_from([*NAMES, *MARKS, *WORDS, *" {}<>%$:._-/@#&`\\1aあ\u0301"])).map("".join))
def test_spans_are_in_order_and_never_overlap(text: str) -> None:
    spans = find_spans(text, lacking=lambda line: {"é", "あ"} & set(line))
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He is in Łódź now.", "Łódź"),
        ("It costs ₿30.", "₿30"),
        ("Łódź-Süd", "Łódź-Süd"),
        ("これは紐です。", "紐"),
        ("e\u0328 x", "e\u0328"),
    ],
)
def test_what_a_vocabulary_lacks_is_found_with_the_word_around_it(text: str, found: str) -> None:
    (span,) = find_spans(text, lacking=lambda line: set("Łź₿紐ę") & set(line))
    assert text[span.start : span.end] == found
