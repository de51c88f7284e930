"""Cut a text into sentences to translate and the gaps between them, which are kept.

`separators[0] + t[0] + separators[1] + t[1] … + separators[n]` is the translation of a text. With the source's own gaps
and sentences it is always the original text.

- Lines are not joined: line breaks, indentation and empty lines stay as they are. All values of `SplitSentences` but
  the default join lines first, and the other rules apply to the joined text. Tabs and wide spaces stay, too, and the
  cells between them are read like lines.
- A stretch without words (`---`, `12:30`, an address or emoji alone) is not a sentence, and neither is the number of a
  list item at the start of a line (`1.`, `2.3.`, `IV.`): they stay as they are. Text at the edges of a
  sentence that is not language stays, too: list marks, quotation marks of mail, rulers, tags, emoji, placeholders.
- Between two sentences on one line, the source's whitespace stays. A translation into a language without spaces between
  sentences drops plain spaces there, and a translation from such a language gets a space.
- A sentence longer than the model allows is cut by `splitting`, and its pieces are sentences like all others.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from service.text import boundaries
from service.text.marked_text import MarkedText, normal
from service.text.span import Span
from service.text.splitting import split_long
from service.text.unwrapping import join_all_lines, join_lines
from service.text.verbatim import Lacking, find_spans
from service.text.wording import Wording

SplitSentences = Literal["newlines", "punctuation", "none"]
"""Besides punctuation, `newlines` ends a sentence at line breaks, and `punctuation` at blank lines.

`none` ends a sentence at the limit only.
"""

# Languages without a space between sentences. Thai, Lao, Khmer and Burmese set one there, but none between words.
_NO_SPACE_BETWEEN_SENTENCES = frozenset({"ja", "zh", "yue", "wuu", "lzh"})
_NO_SPACE_BETWEEN_WORDS = _NO_SPACE_BETWEEN_SENTENCES | {"th", "lo", "km", "my", "shn", "bo", "dz"}

_LINE_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CELL_BREAK = re.compile(r" *\t[ \t]*| {3,}")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_ITEM_NUMBER = re.compile(r"(?:\d{1,3}[.．)])+|[IVX]{1,5}\.")


@dataclass(frozen=True, slots=True)
class Gap:
    """The text before, between or after sentences."""

    text: str
    is_joint: bool
    """Whether the gap is only whitespace between two sentences of a line, so that it depends on the target language."""

    def in_language(self, target_lang: str) -> str:
        if not self.is_joint:
            return self.text
        if _primary(target_lang) in _NO_SPACE_BETWEEN_SENTENCES:
            return self.text if self.text.strip(" ") else ""
        return self.text or " "


@dataclass(frozen=True, slots=True)
class Segmented:
    wordings: tuple[Wording, ...]
    """The sentences. Each has a word in it and no whitespace around it."""
    gaps: tuple[Gap, ...]
    """Gaps before every sentence and after the last one."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences as they are written."""
        return tuple(wording.text for wording in self.wordings)


def segment(
    text: str,
    *,
    language: str,
    split: SplitSentences = "newlines",
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
    on_sentence: Callable[[Gap, Wording], None] | None = None,
    lacking: Lacking | None = None,
    known: Sequence[Span] = (),
) -> Segmented:
    """Cut `text`, written in `language`, into sentences of at most `max_tokens` of `count_tokens`, if both are given.

    `on_sentence` is called with each sentence, and the gap before it, as soon as it is found. It may raise an exception
    to stop the work.
    Characters that a vocabulary is `lacking`, and the `known` spans of the text, are not language. A text with known
    spans keeps its lines, whatever the split. Control characters are text like any other. A lone surrogate in a
    sentence raises UnicodeEncodeError.
    """
    builder = _Builder(joins_without_space=not sets_spaces(language), on_sentence=on_sentence)
    joined = text if known else _joined(text, split, sets_spaces=sets_spaces(language))
    for cell, cell_break in _cells(MarkedText(joined, known)):
        marked = MarkedText(cell.text, find_spans(cell.text, known=cell.spans, lacking=lacking))
        masked = marked.masked()
        stretches = [masked] if split == "none" else _stretches(masked, _primary(language))
        for stretch in marked.parts(map(len, stretches)):
            before, core, after = stretch.peel(starts_line=builder.starts_line)
            wording = core.wording()
            if max_tokens is None or count_tokens is None or not core.has_words:
                builder.add(before, wording, after, is_translated=core.has_words)
            elif count_tokens(wording.words) <= max_tokens:
                builder.add(before, wording, after, is_translated=True)
            else:
                builder.keep(before)
                for piece in core.parts(_lengths(core, max_tokens=max_tokens, count_tokens=count_tokens)):
                    front, part, back = piece.peel(starts_line=False)
                    builder.add(front, part.wording(), back, is_translated=part.has_words)
                builder.keep(after)
        builder.end_line(cell_break)
    return builder.build()


def _lengths(core: MarkedText, *, max_tokens: int, count_tokens: Callable[[str], int]) -> Iterator[int]:
    """The lengths of pieces whose words fit."""
    pieces = split_long(core.blanked(), max_tokens=max_tokens, count_tokens=lambda piece: count_tokens(normal(piece)))
    return map(len, pieces)


def _joined(text: str, split: SplitSentences, *, sets_spaces: bool) -> str:
    if split == "newlines":
        return text
    join = join_lines if split == "punctuation" else join_all_lines
    return join(text, sets_spaces=sets_spaces)


def _is_translated(stretch: str) -> bool:
    return _LETTER_OR_DIGIT.search(stretch) is not None


class _Builder:
    """Collects sentences and what lies between them, in order."""

    def __init__(self, *, joins_without_space: bool, on_sentence: Callable[[Gap, Wording], None] | None) -> None:
        self._joins_without_space = joins_without_space
        self._on_sentence = on_sentence
        self._wordings: list[Wording] = []
        self._gaps: list[Gap] = []
        self._kept: list[str] = []
        self._continues_line = False

    @property
    def starts_line(self) -> bool:
        """Whether no sentence has been added on this line yet."""
        return not self._continues_line

    def add(self, before: str, wording: Wording, after: str, *, is_translated: bool) -> None:
        """Add a sentence and its edges, or text that is not translated.

        An empty gap joins two sentences only in languages without spaces; in others, a word has been cut in two.
        """
        if not is_translated or (self.starts_line and _ITEM_NUMBER.fullmatch(wording.text)):
            self.keep(before + wording.text + after)
            return
        text = self._take_gap() + before
        can_vary = not text.strip() and (bool(text) or self._joins_without_space)
        gap = Gap(text, is_joint=self._continues_line and can_vary)
        self._gaps.append(gap)
        self._wordings.append(wording)
        if self._on_sentence is not None:
            self._on_sentence(gap, wording)
        self.keep(after)
        self._continues_line = True

    def keep(self, text: str) -> None:
        self._kept.append(text)

    def end_line(self, line_break: str) -> None:
        self._kept.append(line_break)
        self._continues_line = False

    def build(self) -> Segmented:
        return Segmented(wordings=tuple(self._wordings), gaps=(*self._gaps, Gap(self._take_gap(), is_joint=False)))

    def _take_gap(self) -> str:
        gap = "".join(self._kept)
        self._kept.clear()
        return gap


def _cells(text: MarkedText) -> Iterator[tuple[MarkedText, str]]:
    """Each cell of each line, and the break after it."""
    place = 0
    for line, line_break in _lines(text.text):
        start, end = place, place + len(line)
        if "\t" in line or "   " in line:
            for found in _CELL_BREAK.finditer(text.text, start, end):
                yield text.part(start, found.start()), found[0]
                start = found.end()
        yield text.part(start, end), line_break
        place = end + len(line_break)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The lines, with the line break after each."""
    start = 0
    for found in _LINE_BREAK.finditer(text):
        yield text[start : found.start()], found[0]
        start = found.end()
    yield text[start:], ""


def _stretches(line: str, language: str) -> Iterator[str]:
    """The sentences of a line with all whitespace: joined, they are the line."""
    return boundaries.stretches(line, language) if _is_translated(line) else iter((line,))


def sets_spaces(language: str) -> bool:
    """Whether the language is written with spaces between words."""
    return _primary(language) not in _NO_SPACE_BETWEEN_WORDS


def _primary(language: str) -> str:
    """The language of a code like `zh-Hant`."""
    return language.replace("_", "-").partition("-")[0].lower()
