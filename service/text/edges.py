"""The text around the words of a stretch: white space, list marks, rulers, marks of quoted mail, tags, emoji, names.

A name is at the edge only if white space, or a mark and white space, sets it apart from the words.
"""

from collections.abc import Sequence

import regex

from service.text.span import Kind, Span

_BLANK = regex.compile(r"[\s\x1c-\x1f\p{Cf}]*+")
_BLANK_AT_END = regex.compile(r"(?r)[\s\x1c-\x1f\p{Cf}]*")
_LIST_MARK = regex.compile(
    r"""(?:[-–—*+•·▪◦‣⁃→|]|\#{1,6}|>|\(?(?:\d{1,3}|[A-Za-z])\)|\[[\ xX]?\])(?=\s|$)|>+(?=\S)|\#{1,6}(?=\s)""",
    regex.VERBOSE,
)
_RULER = regex.compile(r"[-=_*~\#+·•—–─━═]{3,}+(?=\s|$)")
_RULER_AT_END = regex.compile(r"(?r)(?<=^|\s)[-=_*~\#+·•—–─━═]{3,}")
_AFTER_NAME = regex.compile(r"[,:;]?(?=\s)|$")


def start_of_words(text: str, spans: Sequence[Span], *, starts_line: bool) -> int:
    """The place where the words of a stretch begin."""
    place = end_of_blank(text, 0)
    index = 0
    while place < len(text):
        while index < len(spans) and spans[index].start < place:
            index += 1
        if index < len(spans) and spans[index].start == place:
            end = _end_of_span(text, spans[index])
        else:
            mark = (starts_line and _LIST_MARK.match(text, place)) or _RULER.match(text, place)
            end = mark.end() if mark else place
        if end == place:
            break
        place = end_of_blank(text, end)
    return place


def _end_of_span(text: str, span: Span) -> int:
    """The end of a span, including a mark after a name, or its start if the span belongs to the words after it."""
    if span.kind is Kind.WORD:
        return span.start
    if span.kind is not Kind.NAME:
        return span.end
    after = _AFTER_NAME.match(text, span.end)
    return after.end() if after else span.start


def end_of_words(text: str, spans: Sequence[Span], start: int) -> int:
    """The place where the words of a stretch end, at or after `start`."""
    place = _start_of_blank(text, start, len(text))
    index = len(spans) - 1
    while place > start:
        while index >= 0 and spans[index].end > place:
            index -= 1
        if index >= 0 and spans[index].end == place:
            span = spans[index]
            end = span.start if _is_apart_at_end(text, span) else place
        else:
            ruler = _RULER_AT_END.match(text, start, place)
            end = ruler.start() if ruler else place
        if end == place:
            break
        place = _start_of_blank(text, start, end)
    return place


def _is_apart_at_end(text: str, span: Span) -> bool:
    """Whether a span that ends a text does not belong to the words before it."""
    if span.kind is Kind.NAME:
        return text[span.start - 1 : span.start].isspace()
    return span.kind is not Kind.WORD


def end_of_blank(text: str, place: int) -> int:
    """The place of the first visible character at or after `place`, or the end of the text."""
    found = _BLANK.match(text, place)
    return found.end() if found else place


def _start_of_blank(text: str, start: int, end: int) -> int:
    """The start of the blank that ends at `end`, at or after `start`."""
    found = _BLANK_AT_END.match(text, start, end)
    return found.start() if found else end
