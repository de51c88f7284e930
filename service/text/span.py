"""A part of a text that is not language, and how it stands among words."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    NAME = "name"
    """Stands like a word: an address, a placeholder, a code."""
    WORD = "word"
    """A word that the vocabulary cannot write. It stays in its sentence as an unknown token."""
    OPENING = "opening"
    """Stands before the word that follows: a start tag."""
    CLOSING = "closing"
    """Stands after the word before it: an end tag."""
    MARK = "mark"
    """Stands after a word, or alone: an emoji, a symbol, an exponent, a tag without an end."""
    SPACE = "space"
    """A second space between two words."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The characters from `start` to `end` of a text."""

    start: int
    end: int
    kind: Kind
