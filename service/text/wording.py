"""The words of a sentence, and the insets among them, which are not language."""

from dataclasses import dataclass
from enum import Enum

from service.text.span import Kind

STAND_IN = "\ufffc"
"""Stands among the words for a word that the vocabulary cannot write. It becomes an unknown token."""


class Position(Enum):
    """The position of an inset among the words of its sentence."""

    FRONT = "front"
    """Before all words."""
    INNER = "inner"
    BACK = "back"
    """After all words."""
    BEFORE_MARK = "before mark"
    """After all words, and before a mark that ends the sentence."""


@dataclass(frozen=True, slots=True)
class Inset:
    """A span taken out of a sentence, at `offset` of its words, which have the `STAND_IN` there for a word.

    An inset is glued to the text that it touches in the source, whitespace aside, and stays with that text in the
    translation.
    """

    text: str
    kind: Kind
    offset: int
    position: Position
    is_glued_before: bool
    is_glued_after: bool


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence: `text` as it is written, `words` as the model gets them, and the `insets` taken out of the words."""

    text: str
    words: str
    insets: tuple[Inset, ...] = ()
