"""Put terms into a translation, in place of the words that translate them.

A term is from a glossary, or it is a word that is unknown to the vocabulary and stays as it is. A term is translated by
the word whose tokens attend most to its source tokens. The term of a sentence with the most attention chooses first. A
neighbour of the chosen word belongs to it if it attends more to the term than to any other token, unless the neighbour
is short. Words that already are the term, with or without an ending, are left alone. So is a translation that has the
term elsewhere.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import regex

from service.text.edits import Edit, edited
from service.text.glossary import Glossary
from service.text.words import is_inside_word, words_around

MIN_ATTENTION = 0.1
"""A word with less attention does not translate the term; the term goes after it."""
_MIN_NEIGHBOUR = 4
"""The least characters of a neighbour, because articles and prepositions attend to the nouns after them."""
_JOINT = regex.compile(r"[\s-]*+")
_BEFORE_WORDS = regex.compile(r"[^\p{L}\p{N}]*+")
_MIN_STEM = 4
_MAX_ENDING = 3


@dataclass(frozen=True, slots=True)
class SourceTerm:
    """A term of a glossary: the source tokens from `start` to `end`, and their translation.

    If `is_unknown` is true, the tokens are unknown ones, and `target` is the word in their place.
    """

    start: int
    end: int
    target: str
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class TranslatedTerm:
    """A term, and the characters of a translation from `start` to `end` that stand for it.

    Unless `is_certain` is true, the characters may translate something else. The range is empty if the translation has
    too few words.
    """

    start: int
    end: int
    term: SourceTerm
    is_certain: bool

    @property
    def target(self) -> str:
        return self.term.target


def find_translated(
    deltas: Sequence[str], weights: Sequence[Sequence[float]], terms: Sequence[SourceTerm]
) -> list[TranslatedTerm]:
    """The terms in the order of the translation.

    `deltas` are the texts of the target's tokens, `weights` their cross-attention over the source's tokens.
    """
    text = "".join(deltas)
    words = _read_words(text, deltas, weights)
    free = dict(enumerate(words))
    found: list[TranslatedTerm] = []
    attentions = [(term, [word.attention(term) for word in words]) for term in terms]
    attentions.sort(key=lambda pair: max(pair[1], default=0.0), reverse=True)
    for term, attention in attentions:
        if not free:
            found.append(TranslatedTerm(len(text), len(text), term, is_certain=False))
            continue
        first = last = max(free, key=attention.__getitem__)
        is_certain = words[first].translates(term)
        if is_certain:
            while _belongs(free.get(first - 1), term) and _are_joined(text, words[first - 1], words[first]):
                first -= 1
            while _belongs(free.get(last + 1), term) and _are_joined(text, words[last], words[last + 1]):
                last += 1
        if is_certain or not term.is_unknown:
            for index in range(first, last + 1):
                del free[index]
        found.append(TranslatedTerm(words[first].start, words[last].end, term, is_certain))
    return sorted(found, key=lambda each: each.start)


def put_terms(
    deltas: Sequence[str], weights: Sequence[Sequence[float]], terms: Sequence[SourceTerm]
) -> tuple[list[str], list[SourceTerm]]:
    """Return as many deltas, but at least one, with the terms in them, and the terms that no word translates.

    Of the latter, unknown ones are not put in, and the others stand at a guess.
    """
    text = "".join(deltas)
    translated = find_translated(deltas, weights, terms)
    num_elsewhere = _count_elsewhere(text, translated)
    edits: list[Edit] = []
    lost: list[SourceTerm] = []
    for each in translated:
        if each.is_certain and _is_form_of(text[each.start : each.end], each.target):
            continue
        if num_elsewhere[each.target] > 0:
            num_elsewhere[each.target] -= 1
        elif each.is_certain:
            edits.append(Edit(each.start, _in_case_of(text, each), each.end - each.start))
        else:
            lost.append(each.term)
            if not each.term.is_unknown:
                before = text[: each.end][-1:]
                space = " " if before and is_inside_word(before + each.target, 1) else ""
                edits.append(Edit(each.end, space + each.target))
    return edited(deltas, edits), lost


@dataclass(slots=True)
class _Word:
    """A word of a translation, with the attention of each of its tokens and the running sums of that attention."""

    start: int
    end: int
    rows: list[Sequence[float]] = field(default_factory=list)
    sums: list[list[float]] = field(default_factory=list)

    def add(self, row: Sequence[float]) -> None:
        self.rows.append(row)
        self.sums.append(list(accumulate(row, initial=0.0)))

    def attention(self, term: SourceTerm) -> float:
        return sum(sums[term.end] - sums[term.start] for sums in self.sums)

    def translates(self, term: SourceTerm) -> bool:
        """Whether the word translates the term. An unknown one needs more attention than any other source token."""
        if not term.is_unknown:
            return self.attention(term) >= MIN_ATTENTION
        row, sums = self.rows[0], self.sums[0]
        return sums[term.end] - sums[term.start] > max(0.0, *row[: term.start], *row[term.end :])


def _read_words(text: str, deltas: Sequence[str], weights: Sequence[Sequence[float]]) -> list[_Word]:
    words: list[_Word] = []
    start = 0
    for delta, row in zip(deltas, weights, strict=False):
        end = start + len(delta)
        read = words[-1].end if words else 0
        if start < end <= read:
            words[-1].add(row)
        elif (found := words_around(text, max(start, read), end)) is not None:
            words.append(_Word(*found))
            words[-1].add(row)
        start = end
    return words


def _belongs(neighbour: _Word | None, term: SourceTerm) -> bool:
    if neighbour is None or neighbour.end - neighbour.start < _MIN_NEIGHBOUR:
        return False
    own = sum(sums[term.end] - sums[term.start] for sums in neighbour.sums)
    return own > sum(max(0.0, *row[: term.start], *row[term.end :]) for row in neighbour.rows)


def _are_joined(text: str, left: _Word, right: _Word) -> bool:
    return _JOINT.fullmatch(text, left.end, right.start) is not None


def _count_elsewhere(text: str, translated: Sequence[TranslatedTerm]) -> Counter[str]:
    """Count the occurrences of each target outside of the words that certainly translate a term."""
    taken = {place for each in translated if each.is_certain for place in range(each.start, each.end)}
    targets = Glossary({each.target.lower(): each.target for each in translated})
    return Counter(found.target for found in targets.find(text) if found.start not in taken)


def _is_form_of(word: str, term: str) -> bool:
    """Whether `word` is the term, with or without an ending."""
    word, term = word.casefold(), term.casefold()
    return word == term or (len(term) >= _MIN_STEM and word.startswith(term) and len(word) - len(term) <= _MAX_ENDING)


def _in_case_of(text: str, term: TranslatedTerm) -> str:
    """The target, capitalized if it is in lower case and replaces a capitalized word at the start of the sentence."""
    blank = _BEFORE_WORDS.match(text)
    starts_sentence = blank is not None and blank.end() == term.start
    if not term.term.is_unknown and starts_sentence and text[term.start].isupper() and term.target.islower():
        return term.target[0].upper() + term.target[1:]
    return term.target
