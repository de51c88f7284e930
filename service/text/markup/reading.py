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
class _Unit:
    """One token that is translated, or a run of tokens that stay as they are; `end` is the start of the next unit."""

    tokens: Sequence[Token]
    end: int
    is_translated: bool

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def stands_apart(self) -> bool:
        """Whether no sentence goes on here. A run that is not one or more whole elements stands apart, too."""
        if any(token.is_block for token in self.tokens):
            return True
        kinds = [token.kind for token in self.tokens]
        return not self.is_translated and kinds.count(TokenKind.START) != kinds.count(TokenKind.END)


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
        for unit in self._units(tokens, len(source)):
            if unit.is_translated:
                self._write(writer, unit.tokens[0], unit.end)
            else:
                _keep(writer, unit)
        return writer.finish()

    def parts(self, source: str, *, max_characters: int) -> Iterator[tuple[str, bool]]:
        """Cut a source between its sentences. Yields each part, and whether it has words to translate.

        The parts, joined, are the source. Translated one by one, they are its translation, except that a sentence of
        more than `max_characters`, markup included, is cut at its tags, and that a longer tag does not count as words.
        Only text without tags can make a part with words longer. Raises UnsupportedOptionError.
        """
        start, has_words = 0, False
        for unit in self._units(list(self.tokens(source)), len(source)):
            stands_apart = unit.stands_apart
            if stands_apart or unit.end - start > max_characters:
                yield source[start : unit.start], has_words
                start, has_words = unit.start, False
            has_words = has_words or self._has_words(unit, max_characters)
            if stands_apart:
                yield source[start : unit.end], has_words
                start, has_words = unit.end, False
        yield source[start:], has_words

    def _units(self, tokens: Sequence[Token], length: int) -> Iterator[_Unit]:
        """The tokens of a source of that length: those that are translated, one by one, and the others in runs."""
        elements = OpenElements(self.implied_ends)
        kept: list[Token] = []
        ends = [*(token.start for token in tokens[1:]), length]
        for token, end in zip(tokens, ends, strict=False):
            if not elements.follow(token):
                kept.append(token)
                continue
            if kept:
                yield _Unit(kept, token.start, is_translated=False)
                kept = []
            yield _Unit([token], end, is_translated=True)
        if kept:
            yield _Unit(kept, length, is_translated=False)

    def _write(self, writer: Writer, token: Token, end: int) -> None:
        if token.kind is TokenKind.TEXT:
            writer.write(token.text)
        elif names := self._translated_names(token):
            writer.tag(token, end, _kind(token), translated=names)
        else:
            writer.mark(token.start, end, _kind(token), is_block=token.is_block)

    def _translated_names(self, token: Token) -> list[str]:
        """The names of the attributes that are translated."""
        names = self.translated_attributes
        return [name for name, value in token.attributes if name in names and any(map(str.isalpha, value))]

    def _has_words(self, unit: _Unit, max_tag_characters: int) -> bool:
        token = unit.tokens[0]
        if not unit.is_translated:
            return False
        if token.kind is TokenKind.TEXT:
            return any(map(str.isalpha, token.text))
        return unit.end - unit.start <= max_tag_characters and bool(self._translated_names(token))

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


def _keep(writer: Writer, unit: _Unit) -> None:
    """Write tokens that stay as they are, as a single mark."""
    first = unit.tokens[0]
    stands_as_word = first.name not in _MARKS and any(token.text.strip() for token in unit.tokens)
    writer.mark(unit.start, unit.end, Kind.NAME if stands_as_word else Kind.MARK, is_block=unit.stands_apart)
