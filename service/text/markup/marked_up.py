"""A text in a markup language as the translation sees it: words, and signs in the place of its markup.

- Every tag is one sign, or several around the values of its attributes. What is not translated (`<code>x</code>`) is
  one sign with all that is in it, and so is a line without words.
- A block ends with a line break, and no other line break is left: those of the source are spaces, as everywhere in
  markup.
- A value of an attribute has a line of its own before the line of its tag. Its translation is known when the tag comes.

All signs are `spans`, things among the words. They come back once and in order, so that a tree stays the same tree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.text.marked_text import MarkedText
from service.text.span import Span

_QUOTE = {ord('"'): "&quot;"}


@dataclass(frozen=True, slots=True)
class MarkedUpText:
    """`pieces` is what each sign and each character that has to be escaped becomes.

    A line that begins with `value_sign` is the value of an attribute; `value_places` are the signs of their places.
    """

    text: str
    spans: Sequence[Span]
    pieces: Mapping[int, str]
    value_sign: str
    value_places: Sequence[str]

    @property
    def words(self) -> str:
        """With spaces in place of the markup."""
        return MarkedText(self.text, self.spans).blanked()

    def renderer(self) -> "Renderer":
        return Renderer(self)


class Renderer:
    """Turns the translation of a text, whole or in deltas, into markup."""

    def __init__(self, text: MarkedUpText) -> None:
        self._pieces = {**text.pieces, ord("\n"): ""}
        self._value_sign = text.value_sign
        self._value_places = iter(text.value_places)
        self._value: str | None = None
        """The value that is being read."""

    def render(self, delta: str) -> str:
        """The markup that a delta completes."""
        rendered = ""
        for index, part in enumerate(delta.split(self._value_sign)):
            if index > 0:
                self._value = ""
            rendered += (self._read_value(part) if self._value is not None else part).translate(self._pieces)
        return rendered

    def _read_value(self, part: str) -> str:
        """What follows the value, if it ends in this part."""
        value, line_break, rest = part.partition("\n")
        self._value = (self._value or "") + value
        if line_break:
            self._pieces[ord(next(self._value_places))] = self._value.translate(self._pieces).translate(_QUOTE)
            self._value = None
        return rest
