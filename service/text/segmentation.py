"""Cut a text into sentences to translate and the gaps between them, which are kept.

`separators[0] + t[0] + separators[1] + t[1] … + separators[n]` is the translation of a text. With the source's own gaps
and sentences it is always the original text.

- Lines are not joined: line breaks, indentation and empty lines stay as they are. Other values of `SplitSentences` than
  the default join lines first, and everything here is about the joined text.
- A stretch without a letter or digit (`---`, `…`, an emoji alone) is not a sentence, and neither is the number of a
  list item at the start of a line (`1.`, `2.3.`, `IV.`): they stay as they are.
- Between two sentences on one line the source's whitespace stays; a translation into a language that sets no space
  between sentences drops plain spaces there, and one from such a language gets a space.
- A sentence longer than the model allows is cut by `splitting`, and its pieces are sentences like all others.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from service.text import boundaries
from service.text.splitting import split_long
from service.text.unwrapping import join_all_lines, join_lines

SplitSentences = Literal["newlines", "punctuation", "none"]
"""What ends a sentence besides its punctuation: a line break, or only a blank line. `none`: nothing but the limit."""

# Languages without a space between sentences. Thai, Lao, Khmer and Burmese have none between words, but one here.
_NO_SPACE_BETWEEN_SENTENCES = frozenset({"ja", "zh", "yue", "wuu", "lzh"})
_NO_SPACE_BETWEEN_WORDS = _NO_SPACE_BETWEEN_SENTENCES | {"th", "lo", "km", "my", "shn", "bo", "dz"}

_LINE_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_ITEM_NUMBER = re.compile(r"(?:\d{1,3}[.．)])+|[IVX]{1,5}\.")


@dataclass(frozen=True, slots=True)
class Gap:
    """The text before, between or after sentences."""

    text: str
    is_joint: bool
    """Whether it is only whitespace between two sentences of a line, so that it depends on the target language."""

    def in_language(self, target_lang: str) -> str:
        if not self.is_joint:
            return self.text
        if _primary(target_lang) in _NO_SPACE_BETWEEN_SENTENCES:
            return self.text if self.text.strip(" ") else ""
        return self.text or " "


@dataclass(frozen=True, slots=True)
class Segmented:
    sentences: tuple[str, ...]
    """Sentences without surrounding whitespace, with at least a letter or digit."""
    gaps: tuple[Gap, ...]
    """Gaps before every sentence and after the last one."""

    def separators(self, target_lang: str) -> list[str]:
        """The text around the translated sentences, one more than there are sentences."""
        return [gap.in_language(target_lang) for gap in self.gaps]


def segment(
    text: str,
    *,
    language: str,
    split: SplitSentences = "newlines",
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
    on_sentence: Callable[[str], None] | None = None,
) -> Segmented:
    """Cut `text`, written in `language`, into sentences of at most `max_tokens` of `count_tokens`, if both are given.

    `on_sentence` is called with each sentence as soon as it is found, and may raise an exception to stop the work.
    Control characters are text like any other. A lone surrogate in a sentence raises UnicodeEncodeError.
    """
    joins_without_space = _primary(language) in _NO_SPACE_BETWEEN_WORDS
    builder = _Builder(joins_without_space=joins_without_space, on_sentence=on_sentence)
    for line, line_break in _lines(_joined(text, split, sets_spaces=not joins_without_space)):
        for stretch in [line] if split == "none" else _stretches(line, _primary(language)):
            sentence = stretch.strip()
            if max_tokens is None or count_tokens is None or not _is_translated(sentence):
                builder.add(stretch)
                continue
            before, _, after = stretch.partition(sentence)
            builder.keep(before)
            for piece in split_long(sentence, max_tokens=max_tokens, count_tokens=count_tokens):
                builder.add(piece)
            builder.keep(after)
        builder.end_line(line_break)
    return builder.build()


def _joined(text: str, split: SplitSentences, *, sets_spaces: bool) -> str:
    if split == "newlines":
        return text
    join = join_lines if split == "punctuation" else join_all_lines
    return join(text, sets_spaces=sets_spaces)


def _is_translated(stretch: str) -> bool:
    return _LETTER_OR_DIGIT.search(stretch) is not None


class _Builder:
    """Collects sentences and what lies between them, in order."""

    def __init__(self, *, joins_without_space: bool, on_sentence: Callable[[str], None] | None) -> None:
        self._joins_without_space = joins_without_space
        self._on_sentence = on_sentence
        self._sentences: list[str] = []
        self._gaps: list[Gap] = []
        self._kept: list[str] = []
        self._continues_line = False  # whether this line already has a sentence

    def add(self, stretch: str) -> None:
        """Add a sentence with surrounding whitespace, or a stretch that is not translated.

        An empty gap joins two sentences only in languages without spaces; in others a word has been cut in two.
        """
        sentence = stretch.strip()
        is_item_number = not self._continues_line and _ITEM_NUMBER.fullmatch(sentence)
        if is_item_number or not _is_translated(sentence):
            self.keep(stretch)
            return
        before, _, after = stretch.partition(sentence)
        gap = self._take_gap() + before
        can_vary = not gap.strip() and (bool(gap) or self._joins_without_space)
        self._gaps.append(Gap(gap, is_joint=self._continues_line and can_vary))
        self._sentences.append(sentence)
        if self._on_sentence is not None:
            self._on_sentence(sentence)
        self.keep(after)
        self._continues_line = True

    def keep(self, text: str) -> None:
        self._kept.append(text)

    def end_line(self, line_break: str) -> None:
        self._kept.append(line_break)
        self._continues_line = False

    def build(self) -> Segmented:
        return Segmented(sentences=tuple(self._sentences), gaps=(*self._gaps, Gap(self._take_gap(), is_joint=False)))

    def _take_gap(self) -> str:
        gap = "".join(self._kept)
        self._kept.clear()
        return gap


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


def _primary(language: str) -> str:
    """The language of a code like `zh-Hant`."""
    return language.replace("_", "-").partition("-")[0].lower()
