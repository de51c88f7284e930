"""What markup is made of, whichever parser read it."""

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

    `text` is that of a TEXT, with its entities resolved, as are the values of `attributes`. The tags of a block end
    sentences. `is_translated` is None of an element that is translated if its parent is.
    """

    kind: TokenKind
    start: int
    name: str = ""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    is_block: bool = False
    is_translated: bool | None = None


def marked_translated(attributes: tuple[tuple[str, str], ...]) -> bool | None:
    """What the attributes of an element say of its translation."""
    for name, value in attributes:
        if name == "translate" and value.lower() in ("yes", "no"):
            return value.lower() == "yes"
        if name == "class" and "notranslate" in value.split():
            return False
    return None
