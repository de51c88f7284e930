"""The tokens of markup, whichever parser read it."""

from dataclasses import dataclass
from enum import Enum


class TokenKind(Enum):
    START = "start"
    """A start tag."""
    END = "end"
    """An end tag."""
    EMPTY = "empty"
    """An element in one tag."""
    TEXT = "text"
    OTHER = "other"
    """A comment, a declaration, an instruction."""


@dataclass(frozen=True, slots=True)
class Token:
    """The characters of a source from `start` to the start of the next token, or to the end.

    Only a TEXT has `text`. Entities are resolved in `text` and in the values of `attributes`. The tags of a block end
    sentences. `is_translated` is None for an element that is translated if its parent is.
    """

    kind: TokenKind
    start: int
    name: str = ""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    is_block: bool = False
    is_translated: bool | None = None


def marked_translated(attributes: tuple[tuple[str, str], ...]) -> bool | None:
    """Whether its attributes mark an element as translated; None if they do not specify it."""
    for name, value in attributes:
        if name == "translate" and value.lower() in ("yes", "no"):
            return value.lower() == "yes"
        if name == "class" and "notranslate" in value.split():
            return False
    return None
