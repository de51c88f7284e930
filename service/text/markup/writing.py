"""Write the text that the translation sees, line by line."""

from collections.abc import Mapping, Sequence
from itertools import chain

from service.text.markup.marked_up import MarkedUpText
from service.text.markup.signs import Signs
from service.text.markup.token import Token, TokenKind
from service.text.span import Kind, Span

_BLANK = " \t\n\r\f"
_SPACES = {ord(blank): " " for blank in _BLANK}
_IN_ATTRIBUTE = {ord("&"): "&amp;", ord('"'): "&quot;", ord("<"): "&lt;"}


class Writer:
    def __init__(self, source: str, tokens: Sequence[Token], escapes: Mapping[int, str]) -> None:
        self._source = source
        self._escapes = escapes
        values = (value for token in tokens for _, value in token.attributes)
        self._signs = Signs(chain.from_iterable((*(token.text for token in tokens), *values)))
        self._value_sign = self._signs.fresh()
        self._value_places: list[str] = []
        self._lines: list[str] = []
        self._spans: list[Span] = []
        self._length = 0
        self._line: list[tuple[str, Kind | None]] = []
        """Words and signs; only signs have a kind."""
        self._line_start = 0
        """The place in the source where the line starts."""
        self._blank = ""
        """The white space after the last words, which is insignificant at the end of a block."""
        self._must_be_read = False
        """Whether the line has a word, or the place of an attribute value."""

    def write(self, text: str) -> None:
        core = text.strip(_BLANK)
        start = text.index(core) if core else len(text)
        self._blank += text[:start]
        if core:
            self._end_blank()
            self._line.append((_with_single_spaces(core), None))
            self._must_be_read = self._must_be_read or any(map(str.isalpha, core))
            self._blank = text[start + len(core) :]

    def mark(self, start: int, end: int, kind: Kind, *, is_block: bool) -> None:
        """Write markup of the source, which ends the line if it belongs to a block."""
        if is_block:
            self._line.append((self._signs.of(self._blank + self._source[start:end]), Kind.MARK))
            self._blank = ""
            self._end_line(end, "\n")
        else:
            self._end_blank()
            self._line.append((self._signs.of(self._source[start:end]), kind))

    def tag(self, token: Token, end: int, kind: Kind, *, translated: Sequence[str]) -> None:
        """Write a new tag in place of the source's, with the attributes in `translated` to be translated."""
        self._end_blank()
        signs, written = "", f"<{token.name}"
        for name, value in token.attributes:
            written += f' {name}="'
            if name in translated:
                self._add_line([(self._value_sign, Kind.MARK), (_with_single_spaces(value), None)], "\n")
                self._value_places.append(self._signs.fresh())
                signs += self._signs.of(written) + self._value_places[-1]
                written = ""
            else:
                written += value.translate(_IN_ATTRIBUTE)
            written += '"'
        is_closed = token.kind is TokenKind.EMPTY and self._source[token.start : end].endswith("/>")
        self._line.append((signs + self._signs.of(written + ("/>" if is_closed else ">")), kind))
        self._must_be_read = True
        if token.is_block:
            self._end_line(end, "\n")

    def finish(self) -> MarkedUpText:
        if self._blank:
            self._line.append((self._signs.of(self._blank), Kind.MARK))
        self._end_line(len(self._source), "")
        return MarkedUpText(
            "".join(self._lines),
            self._spans,
            {**self._escapes, **self._signs.pieces},
            self._value_sign,
            self._value_places,
        )

    def _end_blank(self) -> None:
        """Write the white space before more of the same line."""
        if self._blank:
            self._line.append((" ", None) if self._line else (self._signs.of(self._blank), Kind.MARK))
            self._blank = ""

    def _end_line(self, end: int, line_break: str) -> None:
        if self._must_be_read:
            self._add_line(self._line, line_break)
        elif end > self._line_start:
            self._add_line([(self._signs.of(self._source[self._line_start : end]), Kind.MARK)], line_break)
        self._line, self._line_start, self._must_be_read = [], end, False

    def _add_line(self, parts: Sequence[tuple[str, Kind | None]], line_break: str) -> None:
        for text, kind in parts:
            if kind is not None:
                self._spans.append(Span(self._length, self._length + len(text), kind))
            self._lines.append(text)
            self._length += len(text)
        self._lines.append(line_break)
        self._length += len(line_break)


def _with_single_spaces(text: str) -> str:
    return " ".join(filter(None, text.translate(_SPACES).split(" ")))
