"""A text in a markup language as the translation sees it: words, and signs in place of its markup.

- A tag is one sign, or several around the values of translated attributes. An element that is not translated
  (`<code>x</code>`) is one sign with all its content, and so is a line without words.
- A block ends with a line break, and there are no other line breaks: those of the source become spaces, as is usual in
  markup.
- The value of a translated attribute has a line of its own before the line of its tag, so its translation is known when
  the tag is rendered.

All signs are `spans` among the words. They return once and in order, so the tree stays the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.text.marked_text import MarkedText
from service.text.span import Span

_QUOTE = {ord('"'): "&quot;"}


@dataclass(frozen=True, slots=True)
class MarkedUpText:
    """`pieces` maps each sign, and each character that has to be escaped, to its markup.

    A line that begins with `value_sign` is the value of an attribute. `value_places` are the signs in place of the
    values, in order.
    """

    text: str
    spans: Sequence[Span]
    pieces: Mapping[int, str]
    value_sign: str
    value_places: Sequence[str]

    @property
    def words(self) -> str:
        """The text with spaces in place of the markup."""
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
        """The attribute value that is being read, if any."""

    def render(self, delta: str) -> str:
        """The markup that a delta completes."""
        rendered = ""
        for index, part in enumerate(delta.split(self._value_sign)):
            if index > 0:
                self._value = ""
            rendered += (self._read_value(part) if self._value is not None else part).translate(self._pieces)
        return rendered

    def _read_value(self, part: str) -> str:
        """Read more of a value. Returns the text after the value, if the value ends in this part."""
        value, line_break, rest = part.partition("\n")
        self._value = (self._value or "") + value
        if line_break:
            self._pieces[ord(next(self._value_places))] = self._value.translate(self._pieces).translate(_QUOTE)
            self._value = None
        return rest
