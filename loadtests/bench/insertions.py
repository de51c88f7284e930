"""Insert things that are not language into sentences, and check whether translations keep them."""

import re
from dataclasses import dataclass
from random import Random

from service.text.segmentation import sets_spaces

PLACEHOLDERS = (
    *("{name}", "{{count}}", "{0, plural, one {# file} other {# files}}", "%s", "%(user)s", "%1$d", "$1", "${key}"),
    *('<x id="1"/>', ":name", "%d", "{user.name}"),
)
URLS = (
    "https://example.com/a/b?c=d&e=f#g",
    "www.example.org",
    "http://10.0.0.1:8080/",
    "example.com/help",
    "ftp://a.b/c",
)
ADDRESSES = ("jane.doe@example.com", "info@mail.example.co.uk", "a+b@example.org")
CODES = (
    *("6171-1231-1311-1231", "ABC-12345", "v1.2.3", "192.168.0.1", "snake_case_name", "main()", "report_v2.pdf"),
    *("550e8400-e29b-41d4-a716-446655440000", "/usr/local/bin", "2024-05-01T12:30:00Z", "0xDEADBEEF", "`git push`"),
)
TAGS = (("<b>", "</b>"), ('<a href="x?y=1">', "</a>"), ("<i>", "</i>"), ('<g id="2">', "</g>"))
EMOJI = ("😀", "🎉🎉", "👍🏽", "👩‍👩‍👧", "🇯🇵", "❤️", "5️⃣", "☀")
UNKNOWN = ("Łódź", "서울", "Ωμέγα", "♞", "₿", "שלום", "≈", "ⵣ")
NUM_OF_MIX = 3

KINDS: dict[str, tuple[str, ...]] = {
    "placeholders": PLACEHOLDERS,
    "URLs": URLS,
    "e-mail addresses": ADDRESSES,
    "codes": CODES,
    "tags": (),
    "emoji": EMOJI,
    "unknown characters": UNKNOWN,
    "three of them": (*PLACEHOLDERS, *URLS, *ADDRESSES, *CODES, *EMOJI),
}
_JAPANESE_PLACE = re.compile(r"(?<=[はがをにでとも、])")


@dataclass(frozen=True, slots=True)
class Insertion:
    """`neighbours` are the words beside the first thing; a language without spaces has none."""

    text: str
    things: tuple[str, ...]
    neighbours: tuple[str, ...]


def insert(sentence: str, kind: str, *, language: str, random: Random) -> Insertion | None:
    """Insert things between the words of a sentence at random. Returns None if the sentence is too short for them."""
    num_places = 2 if kind == "tags" else NUM_OF_MIX if kind == "three of them" else 1
    spaced = sets_spaces(language)
    parts = sentence.split(" ") if spaced else [part for part in _JAPANESE_PLACE.split(sentence) if part]
    if len(parts) <= num_places:
        return None
    places = sorted(random.sample(range(1, len(parts)), num_places))
    if kind == "tags":
        return _with_tags(parts, places, random=random, separator=" " if spaced else "")
    things = tuple(random.choice(KINDS[kind]) for _ in places)
    for place, thing in reversed(list(zip(places, things, strict=True))):
        parts.insert(place, thing)
    neighbours = tuple(re.sub(r"\W", "", parts[place]) for place in (places[0] - 1, places[0] + 1))
    return Insertion((" " if spaced else "").join(parts), things, neighbours if spaced else ())


def _with_tags(parts: list[str], places: list[int], *, random: Random, separator: str) -> Insertion:
    """Insert a pair of tags around one or more words."""
    opening, closing = random.choice(TAGS)
    first, last = places
    parts[last - 1] += closing
    parts[first] = opening + parts[first]
    return Insertion(separator.join(parts), (opening, closing), ())


def is_verbatim(text: str, things: tuple[str, ...]) -> bool:
    """Whether `text` contains every thing as often as it was inserted, in the same order."""
    place = 0
    for thing in things:
        place = text.find(thing, place)
        if place < 0 or text.count(thing) != sum(other.count(thing) for other in things):
            return False
        place += len(thing)
    return True


def is_beside(text: str, insertion: Insertion) -> bool | None:
    """Whether the first thing stands beside a neighbour; None if neither is in the translation exactly once."""
    thing = re.escape(insertion.things[0])
    words = [re.escape(word) for word in insertion.neighbours if len(re.findall(rf"\b{re.escape(word)}\b", text)) == 1]
    if not words:
        return None
    return any(re.search(rf"\b{word}\b\W{{0,3}}{thing}|{thing}\W{{0,3}}\b{word}\b", text) for word in words)
