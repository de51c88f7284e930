"""Read a text in a markup language."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from service.text.markup.elements import OpenElements
from service.text.markup.html_tokens import IMPLIED_ENDS, html_tokens
from service.text.markup.marked_up import MarkedUpText
from service.text.markup.token import Token, TokenKind
from service.text.markup.writing import Writer
from service.text.markup.xml_tokens import xml_tokens
from service.text.span import Kind

_ATTRIBUTES = frozenset({"alt", "title", "placeholder", "aria-label"})
_MARKS = frozenset({"math", "script", "style", "sub", "sup", "svg"})
"""Elements that stand after a word, not like a word."""
_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}


@dataclass(frozen=True, slots=True)
class MarkupLanguage:
    """`implied_ends` maps elements without an end tag to the start tags that end them."""

    tokens: Callable[[str], Iterator[Token]]
    implied_ends: Mapping[str, Set[str]]
    escapes: Mapping[int, str]
    translated_attributes: Set[str]

    def read(self, source: str) -> MarkedUpText:
        """Read a source. Raises UnsupportedOptionError if it is not in this language, and TooLargeError."""
        tokens = list(self.tokens(source))
        writer = Writer(source, tokens, self.escapes)
        elements = OpenElements(self.implied_ends)
        kept: list[Token] = []
        ends = [*(token.start for token in tokens[1:]), len(source)]
        for token, end in zip(tokens, ends, strict=False):
            if not elements.follow(token):
                kept.append(token)
                continue
            _keep(writer, kept, token.start)
            kept = []
            self._write(writer, token, end)
        _keep(writer, kept, len(source))
        return writer.finish()

    def _write(self, writer: Writer, token: Token, end: int) -> None:
        if token.kind is TokenKind.TEXT:
            writer.write(token.text)
            return
        values = [
            name
            for name, value in token.attributes
            if name in self.translated_attributes and any(map(str.isalpha, value))
        ]
        if values:
            writer.tag(token, end, _kind(token), translated=values)
        else:
            writer.mark(token.start, end, _kind(token), is_block=token.is_block)

    def num_characters(self, source: str) -> int:
        """The number of characters of the text, without markup. Raises UnsupportedOptionError."""
        return sum(len(token.text) for token in self.tokens(source))


HTML = MarkupLanguage(html_tokens, IMPLIED_ENDS, {**_ESCAPES, ord("\u00a0"): "&nbsp;"}, _ATTRIBUTES)
XML = MarkupLanguage(xml_tokens, {}, _ESCAPES, frozenset())
MARKUP: Mapping[str, MarkupLanguage] = {"html": HTML, "xml": XML}
"""The markup languages by the format of a request."""


def _kind(token: Token) -> Kind:
    if token.kind is TokenKind.START:
        return Kind.OPENING
    return Kind.MARK if token.kind is TokenKind.EMPTY and token.name != "wbr" else Kind.CLOSING


def _keep(writer: Writer, tokens: Sequence[Token], end: int) -> None:
    """Write tokens that stay as they are, as a single mark."""
    if not tokens:
        return
    first = tokens[0]
    stands_as_word = first.name not in _MARKS and any(token.text.strip() for token in tokens)
    writer.mark(first.start, end, Kind.NAME if stands_as_word else Kind.MARK, is_block=first.is_block)
