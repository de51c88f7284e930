"""Put the insets of a sentence back into its translation, in the order of the source.

An inset goes after the target word that attends most to the source token on its left, or before the target word that
attends most to the token on its right. The side that the inset is glued to decides, and otherwise the stronger
attention. All places of a sentence are chosen at once, for the greatest sum of attention that keeps their order. An
inset before or after all words of its sentence needs no attention. An inset that unknown tokens stand for comes here
only if no word translates them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise, starmap

import regex

from service.text.edits import Edit, edited
from service.text.span import Kind, Span
from service.text.terms import SourceTerm
from service.text.wording import Inset, Position

MIN_ATTENTION = 0.1
"""A place with less attention, or with less than half of another place's, is a guess."""
_CERTAIN = 1e3
EMPTY_COST = 0.5
"""The attention that is given up to keep a word between a pair of tags."""
_FINAL_MARKS = regex.compile(r"(?r)[\s\p{Po}\p{Pe}\p{Pf}\"']*")
_FIRST_MARKS = regex.compile(r"[¿¡«“„「『(\"']*+\s*+")
_LETTER = regex.compile(r"[[\p{L}\p{M}\p{N}'’-]--[\p{Han}\p{Hiragana}\p{Katakana}]]", regex.VERSION1)
_NO_SPACE_AFTER = regex.compile(r"[\p{Ps}\p{Pi}¿¡„]")
_OPENS = regex.compile(r"[\p{L}\p{N}\p{Ps}\p{Pi}¿¡{<$%@#:&`]")


@dataclass(frozen=True, slots=True)
class SourceInset:
    """An inset, the number of source tokens before it, and the number of unknown tokens in its place."""

    inset: Inset
    num_tokens_before: int
    num_tokens: int = 0

    @property
    def needs_attention(self) -> bool:
        return self.inset.position is Position.INNER or self.num_tokens > 0

    @property
    def unknown(self) -> SourceTerm:
        """The unknown tokens as a term."""
        start = self.num_tokens_before
        return SourceTerm(start, start + self.num_tokens, self.inset.text, is_unknown=True)


@dataclass(frozen=True, slots=True)
class Woven:
    """A target with insets: `deltas` are the target's, with the insets in them.

    `spans` are the places of the insets, without white space around them, in the joined deltas.
    """

    deltas: list[str]
    spans: list[Span]
    displaced: list[str]
    """The texts of the insets whose place is a guess."""

    @property
    def text(self) -> str:
        return "".join(self.deltas)


def weave(
    deltas: Sequence[str],
    weights: Sequence[Sequence[float]],
    insets: Sequence[SourceInset],
    *,
    sets_spaces: bool,
) -> Woven:
    """Put `insets` into a target.

    `deltas` are the texts of the target's tokens, `weights` their cross-attention over the source's tokens. `weights`
    may be empty if no inset stands among words. `sets_spaces` is true for a target language with spaces between words.
    """
    target = _Target("".join(deltas), deltas)
    scores = [target.scores(each, weights) for each in insets]
    places = _ordered_places(scores, [0.0, *starmap(_cost_of_one_place, pairwise(insets))])
    displaced = [
        each.inset.text
        for each, score, place in zip(insets, scores, places, strict=True)
        if score.get(place, 0.0) < max(MIN_ATTENTION, max(score.values()) / 2)
    ]
    weaver = _Weaver(target.text, sets_spaces=sets_spaces)
    for place, group in groupby(zip(places, insets, strict=True), key=lambda pair: pair[0]):
        weaver.insert(place, [each.inset for _, each in group])
    return Woven(edited(deltas, weaver.edits), weaver.spans, displaced)


class _Target:
    """The text of a target, and the places of its tokens."""

    def __init__(self, text: str, deltas: Sequence[str]) -> None:
        self.text = text
        self.ends = list(accumulate(map(len, deltas)))
        self._end_of_words = _FINAL_MARKS.match(text).start()
        self._sides: list[tuple[int, int] | None] = []
        """For each token, the end of the word before its own and the end of its own; None for a token without text."""
        start = 0
        for end in self.ends:
            shown = text[start:end].strip()
            self._sides.append((self._end_before_word(start, end), self._end_of_word(start, end)) if shown else None)
            start = end

    def scores(self, source: SourceInset, weights: Sequence[Sequence[float]]) -> dict[int, float]:
        """The attention for each possible place in the text; the places are ends of words."""
        inset, before = source.inset, source.num_tokens_before
        after = before + source.num_tokens
        if inset.position is Position.FRONT:
            return {_FIRST_MARKS.match(self.text).end(): _CERTAIN}
        if inset.position is Position.BEFORE_MARK:
            return {self._end_of_words: _CERTAIN}
        if inset.position is Position.BACK:
            return {len(self.text): _CERTAIN}
        scores: dict[int, float] = {}
        for sides, row in zip(self._sides, weights, strict=False):
            if sides is None or after >= len(row):
                continue
            left, right = sides
            if inset.is_glued_before or not inset.is_glued_after:
                scores[right] = max(scores.get(right, 0.0), row[before - 1])
            if not inset.is_glued_before and not (inset.kind is Kind.OPENING and left >= self._end_of_words):
                scores[left] = max(scores.get(left, 0.0), row[after])
        return scores or {len(self.text): 0.0}

    def _end_of_word(self, start: int, end: int) -> int:
        text = self.text
        end = start + len(text[start:end].rstrip())
        while end < len(text) and _LETTER.match(text, end - 1) and _LETTER.match(text, end):
            end += 1
        return end

    def _end_before_word(self, start: int, end: int) -> int:
        text = self.text
        start = end - len(text[start:end].lstrip())
        while start > 0 and _LETTER.match(text, start - 1) and _LETTER.match(text, start):
            start -= 1
        return len(text[:start].rstrip())


def _cost_of_one_place(left: SourceInset, right: SourceInset) -> float:
    """The cost if both have the same place, which takes away the words that an element starts or ends with."""
    has_word = left.inset.kind is Kind.OPENING or right.inset.kind is Kind.CLOSING
    return EMPTY_COST if has_word else 0.0


def _ordered_places(scores: Sequence[dict[int, float]], costs: Sequence[float]) -> list[int]:
    """Choose a place for each inset, none before the previous inset's, with the greatest sum of scores.

    `costs` has, for each inset, the cost of having the same place as the previous inset.
    """
    places = sorted({place for score in scores for place in score})
    totals = [0.0] * len(places)
    """For each place, the sum of the best choice for all insets so far if the last of them has this place."""
    best_up_to: list[list[int]] = []
    """For each inset and each place, the index of the best place for the previous inset."""
    for score, cost in zip(scores, costs, strict=False):
        best, indices, sums = 0, [], []
        for index, total in enumerate(totals):
            stays = index == 0 or total - cost > totals[best]
            indices.append(index if stays else best)
            sums.append((total - cost if stays else totals[best]) + score.get(places[index], 0.0))
            best = index if total > totals[best] else best
        best_up_to.append(indices)
        totals = sums
    index = max(range(len(places)), key=totals.__getitem__, default=0)
    chosen: list[int] = []
    for indices in reversed(best_up_to):
        chosen.append(places[index])
        index = indices[index]
    return chosen[::-1]


class _Weaver:
    """Collects the edits of a target, from left to right."""

    def __init__(self, text: str, *, sets_spaces: bool) -> None:
        self.spans: list[Span] = []
        self._text = text
        self._sets_spaces = sets_spaces
        self.edits: list[Edit] = []
        self._shift = 0
        """The number of characters by which the text has grown so far."""

    def insert(self, place: int, insets: Sequence[Inset]) -> None:
        """Insert insets that have the same place, after a word or at the front."""
        before, rest = self._text[place - 1 : place], self._text[place:]
        text = ""
        for inset in insets:
            if not inset.is_glued_before and self._needs_space((text or before)[-1:], inset.text):
                text += " "
            shown = inset.text.strip()
            start = place + self._shift + len(text) + inset.text.index(shown)
            text += inset.text
            if shown:
                self.spans.append(Span(start, start + len(shown), inset.kind))
        num_removed = 0
        if insets[-1].is_glued_after and not insets[-1].is_glued_before:
            num_removed = len(rest) - len(rest.lstrip(" "))
        elif _OPENS.match(rest) and self._needs_space(text[-1], rest):
            text += " "
        self.edits.append(Edit(place, text, num_removed))
        self._shift += len(text) - num_removed

    def _needs_space(self, left: str, right: str) -> bool:
        """Whether `right` would run into `left`; in a language without spaces, only ASCII letters and digits would."""
        if not left or left.isspace() or _NO_SPACE_AFTER.match(left):
            return False
        return self._sets_spaces or (left.isascii() and left.isalnum() and right[0].isascii() and right[0].isalnum())
