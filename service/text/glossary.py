"""The terms of a request that have a fixed translation, and a search for them in a text."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.text.marked_text import normal
from service.text.words import is_inside_word

MAX_TERMS = 5_000
MAX_TERM_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class FoundTerm:
    """The characters from `start` to `end` of a text, and their translation."""

    start: int
    end: int
    target: str


class Glossary:
    """Finds and translates terms. A term in lower case matches in any case; any other term matches only as written.

    A term is one or more whole words, or any characters in a script without spaces. If terms overlap, the first one
    counts; if they begin at the same place, the longest one counts.
    """

    def __init__(self, terms: Mapping[str, str]) -> None:
        """Terms whose source or translation has no visible character are ignored."""
        normal_terms = ((_normal(source), _normal(target)) for source, target in terms.items())
        self._targets = {source: target for source, target in normal_terms if source and target}
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for source in self._targets:
            lengths[source[0].lower()].add(len(source))
        self._lengths = {first: sorted(each, reverse=True) for first, each in lengths.items()}
        """The lengths of the terms by their first character in lower case, longest first."""

    def target_of(self, text: str) -> str | None:
        """The translation of a text that is one term."""
        return self._targets.get(text) or self._targets.get(text.lower())

    def find(self, text: str) -> Iterator[FoundTerm]:
        """The terms in a text, from left to right and without overlaps."""
        free = 0
        for start, first in enumerate(text):
            lengths = self._lengths.get(first.lower())
            if lengths is None or start < free or is_inside_word(text, start):
                continue
            for length in lengths:
                target = self.target_of(text[start : start + length])
                if target is not None and not is_inside_word(text, start + length):
                    free = start + length
                    yield FoundTerm(start, free, target)
                    break


def _normal(term: str) -> str:
    return " ".join(normal(term).split())
