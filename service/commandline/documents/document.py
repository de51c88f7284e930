"""The texts of a file: one walk over the file collects them, and the same walk later replaces them.

Each format is one function, `Rewrite`. It sees text without a byte order mark and with LF as line break, and calls
`translate` once for each text, in order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Translate = Callable[[str], str]
TextFormat = Literal["text", "html"]

_MARK = "\ufeff"


class DocumentError(Exception):
    """A file is not of the kind that its name promises; the message names the place."""


class Rewrite(Protocol):
    def __call__(self, text: str, translate: Translate) -> str:
        """Return `text` with each of its texts passed through `translate`. Raises DocumentError."""


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """How the texts of a kind of file are found, and the format in which the server gets them."""

    rewrite: Rewrite
    text_format: TextFormat = "text"


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file, which does not change."""

    kind: DocumentKind
    data: bytes
    text: str
    has_mark: bool
    has_crlf: bool

    @classmethod
    def of(cls, data: bytes, kind: DocumentKind) -> "Document":
        """Decode a file. Raises DocumentError if it is not UTF-8."""
        text = decode_utf8(data)
        has_mark = text.startswith(_MARK)
        # If only some line breaks are CRLF, the carriage returns count as white space of their lines.
        has_crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
        text = text.removeprefix(_MARK)
        return cls(kind, data, text.replace("\r\n", "\n") if has_crlf else text, has_mark, has_crlf)

    def texts(self) -> list[str]:
        """The texts to translate, without the white space around them. Raises DocumentError."""
        found: list[str] = []

        def note(text: str) -> str:
            found.append(text)
            return text

        self.kind.rewrite(self.text, _cores(note))
        return found

    def with_translations(self, translations: Sequence[str]) -> bytes:
        """The file with `translations` in place of its texts. A file without texts is returned unchanged."""
        if not translations:
            return self.data
        rest: Iterator[str] = iter(translations)
        text = self.kind.rewrite(self.text, _cores(lambda _: next(rest)))
        if self.has_crlf:
            text = text.replace("\n", "\r\n")
        return ((_MARK if self.has_mark else "") + text).encode()


def has_letters(text: str) -> bool:
    """Whether `text` contains anything to translate."""
    return any(map(str.isalpha, text))


def split_core(text: str) -> tuple[str, str, str]:
    """The white space before a text, the text, and the white space after it."""
    core = text.strip()
    start = len(text) - len(text.lstrip()) if core else 0
    return text[:start], core, text[start + len(core) :]


def decode_utf8(data: bytes, *, num_lines_before: int = 0) -> str:
    """Raises DocumentError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = num_lines_before + data.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"line {line} is not UTF-8: convert it, for example with iconv") from error


def _cores(translate: Translate) -> Translate:
    """Leave out texts without letters, and the white space around the others."""

    def translate_core(text: str) -> str:
        before, core, after = split_core(text)
        # An empty translation would leave a gap, which in subtitles ends the cue.
        return before + (translate(core) or core) + after if has_letters(core) else text

    return translate_core
