"""A stretch of text with its spans that are not language, and its division into edges, parts and words."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import is_normalized, normalize

import regex

from service.text.edges import end_of_blank, end_of_words, start_of_words
from service.text.span import Kind, Span
from service.text.wording import STAND_IN, Inset, Position, Wording
from service.text.words import SCRIPTS_WITHOUT_SPACES

_INVISIBLE = regex.compile(r"[\u00ad\u200b\u2060\ufeff]+")
_AMOUNT = regex.compile(
    r"(?<=\p{N}\s?)(?:[kcmµ]?[mgl]|km/h|[kMGT]?i?[Bb]|[kMG]?Hz|k?W|kWh|V|A|°?[CF]|px|pt|[ap]\.?m\.?|[AP]M|min|h|s|ms|EUR|USD|GBP|JPY|CHF)(?!\p{L})"
)
_DIGIT = regex.compile(r"\p{N}")
_LETTER = regex.compile(r"\p{L}")
_SPACED_LETTER = regex.compile(rf"[[\p{{L}}\p{{N}}]--[{SCRIPTS_WITHOUT_SPACES}]]", regex.VERSION1)
_BREAKS_WORD = regex.compile(r"</?(?:br|hr|p|div|li|[uo]l|t[dhr]|table|h[1-6])\b", regex.IGNORECASE)
_WORD_CHARACTER = regex.compile(rf"[\p{{L}}\p{{N}}{STAND_IN}]")
_LAST_WORD_CHARACTER = regex.compile(rf"(?r)[\p{{L}}\p{{N}}{STAND_IN}]")
_OPENING_MARKS = ("(", "[", "¿", "¡", "“", "„", "«")
_LEANING = (Kind.CLOSING, Kind.MARK)
_MOST_BETWEEN = 4


@dataclass(frozen=True, slots=True)
class MarkedText:
    text: str
    spans: Sequence[Span] = ()

    def part(self, start: int, end: int) -> "MarkedText":
        """The characters from `start` to `end`, neither of which is inside a span."""
        if start == 0 and end == len(self.text):
            return self
        if not self.spans:
            return MarkedText(self.text[start:end])
        first = bisect_left(self.spans, start, key=_start)
        last = bisect_left(self.spans, end, key=_start)
        spans = [Span(span.start - start, span.end - start, span.kind) for span in self.spans[first:last]]
        return MarkedText(self.text[start:end], spans)

    def parts(self, lengths: Iterable[int]) -> Iterator["MarkedText"]:
        """Parts of these lengths, which add up to the text's; a part that would end inside a span includes the span."""
        start = end = 0
        for length in lengths:
            end += length
            stop = max(start, end)
            if self.spans and (place := bisect_left(self.spans, stop, key=_start)) > 0:
                stop = max(stop, self.spans[place - 1].end)
            if stop > start:
                yield self.part(start, stop)
                start = stop

    @property
    def has_words(self) -> bool:
        """Whether the text contains anything but spans, numbers and units."""
        blanked = self.blanked()
        if _DIGIT.search(blanked) is not None:
            blanked = _AMOUNT.sub("", blanked)
        return _LETTER.search(blanked) is not None

    def masked(self) -> str:
        """The text at its full length, with a word in place of names and words, and spaces in place of other spans."""
        return self._with_spans(lambda kind: ("X", "x") if kind in (Kind.NAME, Kind.WORD) else (" ", " "))

    def blanked(self) -> str:
        """The text at its full length, with the stand-in at the start of each word, and spaces in place of spans."""
        return self._with_spans(lambda kind: (STAND_IN if kind is Kind.WORD else " ", " "))

    def _with_spans(self, fill: Callable[[Kind], tuple[str, str]]) -> str:
        """`fill` returns the character in place of the first one of a span, and the one in place of all others."""
        if not self.spans:
            return self.text
        pieces: list[str] = []
        place = 0
        for span in self.spans:
            first, other = fill(span.kind)
            pieces += [self.text[place : span.start], first, other * (span.end - span.start - 1)]
            place = span.end
        return "".join(pieces) + self.text[place:]

    def peel(self, *, starts_line: bool) -> tuple[str, "MarkedText", str]:
        """The text before the words, the words with everything among them, and the text after the words."""
        start = start_of_words(self.text, self.spans, starts_line=starts_line)
        end = end_of_words(self.text, self.spans, start)
        return self.text[:start], self.part(start, end), self.text[end:]

    def wording(self) -> Wording:
        if not self.spans:
            return Wording(self.text, normal(self.text))
        text, words = self.text, ""
        taken: list[tuple[Span, int]] = []
        place = 0
        for span in self._joined_spans():
            words += normal(text[place : span.start])
            place = span.end
            if span.kind is Kind.WORD:
                taken.append((span, len(words)))
                words += STAND_IN
                continue
            touches_before, touches_after = self._touches(span)
            if touches_before and touches_after:
                is_tag = span.kind in (Kind.OPENING, Kind.CLOSING)
                words += " " if not is_tag or _BREAKS_WORD.match(text, span.start) else ""
            elif words[-1:].isspace() and not touches_after:
                words = words.rstrip()
            elif not words or words.endswith((" ", *_OPENING_MARKS)):
                place = end_of_blank(text, place)
            taken.append((span, len(words)))
        words += normal(text[place:])
        first, last = _WORD_CHARACTER.search(words), _LAST_WORD_CHARACTER.search(words)
        letters = range(first.start() if first else len(words), last.end() if last else 0)
        return Wording(text, words, tuple(self._inset(span, offset, words, letters) for span, offset in taken))

    def _touches(self, span: Span) -> tuple[bool, bool]:
        """Whether a letter or digit of a script with spaces stands right before the span, and right after it."""
        before = span.start > 0 and _SPACED_LETTER.match(self.text, span.start - 1) is not None
        return before, _SPACED_LETTER.match(self.text, span.end) is not None

    def _inset(self, span: Span, offset: int, words: str, letters: range) -> Inset:
        """The span as an inset. `letters` is the range from the first letter or digit of the words to the last."""
        touches_before, touches_after = self._touches(span)
        leans = span.kind in _LEANING and span.start > 0 and not self.text[span.start - 1].isspace()
        if offset <= letters.start:
            position = Position.FRONT
        elif offset < letters.stop:
            position = Position.INNER
        else:
            position = Position.BEFORE_MARK if words[offset:].strip() else Position.BACK
        return Inset(
            self.text[span.start : span.end],
            span.kind,
            offset,
            position,
            is_glued_before=touches_before or leans,
            is_glued_after=touches_after or span.kind is Kind.OPENING,
        )

    def _joined_spans(self) -> list[Span]:
        """The spans, joined if no word is between them, except for the end of one element and the start of the next."""
        joined: list[Span] = []
        for span in self.spans:
            if joined and self._belong_together(joined[-1], span):
                last = joined[-1]
                kinds = {last.kind, span.kind}
                kind = span.kind if len(kinds) == 1 else Kind.NAME if Kind.NAME in kinds else Kind.MARK
                joined[-1] = Span(last.start, span.end, kind)
            else:
                joined.append(span)
        return joined

    def _belong_together(self, left: Span, right: Span) -> bool:
        if left.kind is Kind.WORD or right.kind is Kind.WORD:
            return left.kind is right.kind and not self.text[left.end : right.start].strip()
        if left.end == right.start:
            return True
        if left.kind is Kind.CLOSING or right.kind is Kind.OPENING or right.start - left.end > _MOST_BETWEEN:
            return False
        return _WORD_CHARACTER.search(self.text, left.end, right.start) is None


def normal(text: str) -> str:
    """The text in composed form (NFC), without invisible characters."""
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", text)
    return text if is_normalized("NFC", text) else normalize("NFC", text)


def _start(span: Span) -> int:
    return span.start
