"""The words of a sentence, and what stands among them without being language."""

from dataclasses import dataclass
from enum import Enum

from service.text.span import Kind


class Position(Enum):
    """Where among the words of its sentence an inset stands."""

    FRONT = "front"
    """Before all of them."""
    INNER = "inner"
    BACK = "back"
    """After all of them."""
    BEFORE_MARK = "before mark"
    """After all of them, and before a mark that ends the sentence."""


@dataclass(frozen=True, slots=True)
class Inset:
    """Something taken out of a sentence at `offset` of its words.

    It is glued to what it touches in the source, whitespace aside, and goes with that in the translation too.
    """

    text: str
    kind: Kind
    offset: int
    position: Position
    is_glued_before: bool
    is_glued_after: bool


@dataclass(frozen=True, slots=True)
class Wording:
    """`text` as it is written; `words` as the model gets it, and `insets` by their offsets, apart from it."""

    text: str
    words: str
    insets: tuple[Inset, ...] = ()
