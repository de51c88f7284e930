"""Find text that is not language: things in the table of patterns, and characters that a vocabulary lacks."""

from collections.abc import Callable, Collection, Iterator, Sequence
from unicodedata import is_normalized, normalize

import regex

from service.text.patterns import known_things
from service.text.span import Kind, Span
from service.text.words import SCRIPTS_WITHOUT_SPACES

Lacking = Callable[[str], Collection[str]]
"""Returns the characters of a text that a vocabulary cannot write."""

# A word, an amount with its currency, or a single other character. In scripts without spaces, a character is a unit.
_UNIT = regex.compile(
    rf"(?:[[\p{{L}}\p{{M}}]--[{SCRIPTS_WITHOUT_SPACES}]]|\p{{N}})++"
    r"""
    (?:['’-](?:[[\p{L}\p{M}]--[\p{Han}\p{Hiragana}\p{Katakana}]]|\p{N})++)*+
    | \p{Sc}\p{N}++(?:[.,]\p{N}++)*+ | [\S--[\p{M}\p{Cf}]]\p{M}*+
    """,
    regex.VERBOSE | regex.VERSION1,
)

_BRACKETS = frozenset(
    ("()", "[]", '""', "''", "“”", "„“", "„”", "‘’", "‚‘", "«»", "»«", "「」", "『』", "（）", "【】")
)


def find_spans(line: str, *, known: Sequence[Span] = (), lacking: Lacking | None = None) -> list[Span]:
    """The spans of a line that are not language, in order and without overlaps.

    `known` spans are not language, whatever they look like.
    """
    spans = [*known, *known_things(line), *_around_tags(line, known)]
    if lacking is not None and (characters := lacking(line if line.isascii() else normalize("NFC", line))):
        spans += _unwritable(line, characters)
    if not spans:
        return spans
    spans = _without_overlaps(spans)
    ends = (0, *(span.end for span in spans))
    starts = (*(span.start for span in spans[1:]), len(line))
    return [
        _with_brackets(line, span, least=least, most=most)
        for span, least, most in zip(spans, ends, starts, strict=False)
    ]


def _around_tags(line: str, known: Sequence[Span]) -> Iterator[Span]:
    """Things with known tags among their characters: `#<b>name</b>`."""
    tags = [span for span in known if span.kind in (Kind.OPENING, Kind.CLOSING)]
    if not tags:
        return
    places = [place for start, end in _between(tags, len(line)) for place in range(start, end)]
    for thing in known_things("".join(map(line.__getitem__, places))):
        start, end = places[thing.start], places[thing.end - 1] + 1
        if end - start > thing.end - thing.start and thing.kind is not Kind.SPACE:
            yield Span(start, end, thing.kind)


def _between(spans: Sequence[Span], end: int) -> Iterator[tuple[int, int]]:
    return zip((0, *(span.end for span in spans)), (*(span.start for span in spans), end), strict=True)


def _with_brackets(line: str, span: Span, *, least: int, most: int) -> Span:
    """Extend a name to brackets or quotation marks of its own, which are of no use without it."""
    start, end = span.start, span.end
    if span.kind is Kind.NAME and least < start and end < most and line[start - 1] + line[end] in _BRACKETS:
        return Span(start - 1, end + 1, span.kind)
    return span


def _unwritable(line: str, characters: Collection[str]) -> Iterator[Span]:
    is_composed = is_normalized("NFC", line)
    for unit in _UNIT.finditer(line):
        if not set(unit[0] if is_composed else normalize("NFC", unit[0])).isdisjoint(characters):
            kind = Kind.WORD if regex.search(r"[\p{L}\p{N}]", unit[0]) else Kind.MARK
            yield Span(unit.start(), unit.end(), kind)


def _without_overlaps(spans: list[Span]) -> list[Span]:
    spans.sort(key=lambda span: (span.start, -span.end))
    merged = spans[:1]
    for span in spans[1:]:
        last = merged[-1]
        if span.start >= last.end:
            merged.append(span)
        elif span.end > last.end:
            merged[-1] = Span(last.start, span.end, Kind.NAME)
    return merged
