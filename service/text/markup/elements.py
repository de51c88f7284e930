"""Track which elements are open, and whether their text is translated."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

from service.text.markup.token import Token, TokenKind


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    is_translated: bool


class OpenElements:
    """Follows the tags of a text. The time for a tag does not depend on its depth.

    `implied_ends` maps elements without an end tag to the start tags that end them.
    """

    def __init__(self, implied_ends: Mapping[str, Set[str]]) -> None:
        self._implied_ends = implied_ends
        self._open: list[_Element] = []
        self._num_open: Counter[str] = Counter()

    def follow(self, token: Token) -> bool:
        """Follow the next token. Returns whether it is translated text, or a tag around such text."""
        match token.kind:
            case TokenKind.START:
                while self._open and token.name in self._implied_ends.get(self._open[-1].name, ()):
                    self._close_last()
                self._open.append(_Element(token.name, self._translates(token)))
                self._num_open[token.name] += 1
                return self._open[-1].is_translated
            case TokenKind.END:
                return self._leave(token.name)
        return self._translates(token)

    def _translates(self, token: Token) -> bool:
        if token.is_translated is not None:
            return token.is_translated
        return not self._open or self._open[-1].is_translated

    def _leave(self, name: str) -> bool:
        """Close the element of an end tag and everything open in it; do nothing if the element is not open."""
        if not self._num_open[name]:
            return not self._open or self._open[-1].is_translated
        while (element := self._close_last()).name != name:
            pass
        return element.is_translated

    def _close_last(self) -> _Element:
        element = self._open.pop()
        self._num_open[element.name] -= 1
        return element
