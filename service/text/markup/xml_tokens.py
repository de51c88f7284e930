"""The tokens of XML documents, and of fragments, which may have text beside their elements, read with Expat.

An element is a block unless text stands beside it in its parent: `<p>A <b>dog</b></p>` is one sentence,
`<row><cell>A dog</cell><cell>A cat</cell></row>` is two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from service.errors import UnsupportedOptionError, shown
from service.text.markup.token import Token, TokenKind, marked_translated

_ROOT = b"<root>"


def xml_tokens(source: str) -> Iterator[Token]:
    """The tokens of a source. Raises UnsupportedOptionError if it is not well-formed, or declares entities."""
    data = source.encode()
    num_bytes = num_characters = 0
    for found in _Reader(source, data).found:
        num_characters += len(data[num_bytes : found.place].decode())
        num_bytes = found.place
        is_translated = marked_translated(found.attributes)
        yield Token(found.kind, num_characters, found.name, found.text, found.attributes, found.is_block, is_translated)


@dataclass(slots=True)
class _Found:
    """A token at a `place` in the bytes of the source."""

    kind: TokenKind
    place: int
    name: str = ""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    is_block: bool = False


@dataclass(slots=True)
class _Parent:
    """An element, or the whole source, with the tags of its children."""

    start: _Found | None
    tags: list[_Found] = field(default_factory=list)
    has_text: bool = False

    def close(self) -> None:
        for tag in self.tags:
            tag.is_block = not self.has_text


class _Reader:
    def __init__(self, source: str, data: bytes) -> None:
        self.found: list[_Found] = []
        self._parents = [_Parent(None)]
        self._num_bytes = len(data)
        is_document = source.startswith(("<?xml", "\ufeff<?xml", "<!DOCTYPE"))
        self._offset = 0 if is_document else len(_ROOT)
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = parser.EndCdataSectionHandler = self._leave_out
        parser.EntityDeclHandler = self._refuse_entity
        parser.DefaultHandler = self._other
        try:
            parser.Parse(data if is_document else _ROOT + data + b"</root>", True)
        except expat.ExpatError as error:
            raise UnsupportedOptionError(f"the text is not well-formed XML: {expat.ErrorString(error.code)}") from error
        self._parents[0].close()

    @property
    def _place(self) -> int:
        """The current place in the bytes of the source; outside of them for the added root of a fragment."""
        return self._parser.CurrentByteIndex - self._offset

    def _start(self, name: str, attributes: list[str]) -> None:
        place = self._place
        if place < 0:
            return
        pairs = tuple(zip(attributes[::2], attributes[1::2], strict=True))
        found = _Found(TokenKind.START, place, name, "", pairs)
        self._add_tag(found)
        self._parents.append(_Parent(found))

    def _end(self, name: str) -> None:
        element = self._parents[-1]
        if element.start is None:
            return
        self._parents.pop().close()
        place = self._place
        if element.start.place == place:  # an element in one tag
            element.start.kind = TokenKind.EMPTY
        else:
            self._add_tag(_Found(TokenKind.END, place, name))

    def _text(self, text: str) -> None:
        self._parents[-1].has_text |= not text.isspace()
        self.found.append(_Found(TokenKind.TEXT, self._place, text=text))

    def _leave_out(self) -> None:
        """Leave out the delimiters of a CDATA section if its text is translated; the text is escaped like all text."""
        self.found.append(_Found(TokenKind.TEXT, self._place))

    def _other(self, _: str) -> None:
        place = self._place
        if 0 <= place < self._num_bytes:
            self.found.append(_Found(TokenKind.OTHER, place))

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise UnsupportedOptionError(f"the XML declares the entity {shown(name)}; write its text instead")

    def _add_tag(self, found: _Found) -> None:
        self.found.append(found)
        self._parents[-1].tags.append(found)
