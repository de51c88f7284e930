"""The sentences of a line: sentencex proposes where they end, and the rules here correct it.

A sentence goes on:

- after an abbreviation or a title that the library does not know, and after the initials that begin it;
- after a German ordinal, between a determiner and a noun: `der 2. Weltkrieg`;
- before a hyphen (`Dipl.-Ing.`) or a closing bracket, and, in Japanese, after a quotation in mid-sentence.

A sentence also ends in places that the library misses: after `?!`, after a first sentence in brackets, and after common
words that the library takes for abbreviations (`me.` for Maine).
"""

import re
from collections.abc import Iterator

import regex
import sentencex

from service.text.abbreviations import ABBREVIATIONS, GERMAN_STARTERS

# `sentencex` takes time quadratic in the length of its input, so a line is passed to it in windows.
_WINDOW_CHARACTERS = 2_000

_TAIL_CHARACTERS = 40
"""The number of characters that the rules read before a boundary."""
_LAST_WORD = re.compile(r"(?<![\w.])[^\W_][\w.]*(?=\.\s*$)")
_FIRST_WORD = re.compile(r"\w+")
_INITIALS = regex.compile(r"\s*[\p{Pi}\p{Ps}\"']*(?:\p{Lu}\.[\s-]?)+$")
_NUMBER = re.compile(r"[\d§]|[IVXLC]+\b")
_CLOSING = re.compile(r"[)\]」』）】]")
_ORDINAL = re.compile(
    r"""(?xi) (?: \b(?: d(?:er|ie|as|em|en|es) | i[mn]s? | a[mn]s? | zu[mr] | vo[mn] | beim
      | (?:dies|jed|jen|welch|k?ein|mein|dein|sein|ihr|unser|eur)(?:e[mnrs]?)? )
      | \d\.\s+(?:und|oder|bis) ) \s+ \d{1,2}\.\s*$"""
)
_MARKS = re.compile(r"(?<![.!?…\"'’”»)])[.!?…\"'’”»)]+\s+")
_OPENING = "\"'“‘«„¿¡(["
_QUOTATION_END = ("」", "』", "）")
_AFTER_QUOTATION = re.compile(r"[とっを、。はがにもの]")


def stretches(line: str, language: str) -> Iterator[str]:
    """The sentences of a line, each with the white space after it: joined, they are the line."""
    held = ""
    for stretch in _candidates(line, language):
        if held and not _goes_on(held, stretch, language):
            yield held
            held = ""
        held += stretch
    if held:
        yield held


def _goes_on(left: str, right: str, language: str) -> bool:
    """Whether the sentence in `left` goes on in `right`."""
    if _CLOSING.match(right) or (right.startswith("-") and not left[-1].isspace()):
        return True
    if left.endswith(_QUOTATION_END):
        return language == "ja" and _AFTER_QUOTATION.match(right) is not None
    tail = left[-_TAIL_CHARACTERS:]
    found = _LAST_WORD.search(tail)
    if found is None:
        return False
    word = found[0]
    if word.isdecimal():
        return language == "de" and _ORDINAL.search(tail) is not None and _first_word(right) not in GERMAN_STARTERS
    if _is_abbreviation(word, right, language):
        return True
    is_initial = len(word) == 1 and word.isupper()
    if not is_initial:
        return False
    return right[0].islower() or not left[-1].isspace() or _are_initials(left)


def _is_abbreviation(word: str, right: str, language: str) -> bool:
    known = ABBREVIATIONS.get(language)
    if known is None:
        return False
    if word in known.before_names:
        return True
    if word.lower() in known.before_numbers and _NUMBER.match(right):
        return True
    return word.lower() in known.others and right[0].islower()


def _are_initials(text: str) -> bool:
    return len(text) <= _TAIL_CHARACTERS and _INITIALS.fullmatch(text) is not None


def _first_word(text: str) -> str:
    found = _FIRST_WORD.search(text)
    return found[0].lower() if found else ""


def _candidates(line: str, language: str) -> Iterator[str]:
    """Yield the sentences that the library finds, window by window.

    The next window starts at the last boundary of the one before. In a window without a boundary, the sentence goes on.
    """
    start = 0
    held = ""
    while len(line) - start > _WINDOW_CHARACTERS:
        window = line[start : start + _WINDOW_CHARACTERS]
        found = _segmented(window, language)
        if len(found) == 1:
            held += window
            start += len(window)
            continue
        for stretch in found[:-1]:
            yield held + stretch
            held = ""
            start += len(stretch)
    for stretch in _segmented(line[start:], language):
        yield held + stretch
        held = ""
    if held:
        yield held


def _segmented(text: str, language: str) -> list[str]:
    found: list[str] = sentencex.segment(language, text)
    if "".join(found) != text:
        return [text]
    return [part for stretch in found for part in _parts(stretch, language)]


def _parts(stretch: str, language: str) -> Iterator[str]:
    """Cut a stretch at the ends that the library misses."""
    start = 0
    for found in _MARKS.finditer(stretch):
        after = stretch[found.end() :][:_TAIL_CHARACTERS].lstrip(_OPENING)
        if after[:1].isupper() and _is_end(stretch[start : found.start()], found[0], language):
            yield stretch[start : found.end()]
            start = found.end()
    if start < len(stretch):
        yield stretch[start:]


def _is_end(before: str, marks: str, language: str) -> bool:
    if "?!" in marks or "!?" in marks or (")" in marks[1:] and before.startswith("(") and ")" not in before):
        return True
    known = ABBREVIATIONS.get(language)
    word = _LAST_WORD.search(before[-_TAIL_CHARACTERS:] + ".")
    return marks.startswith(".") and known is not None and word is not None and word[0] in known.words
