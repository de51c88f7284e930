"""Token ids to text, whole or an id at a time.

A checkpoint's pieces are rendered once, at load, into a `PieceTable`; after that an id costs a table look-up. Emitted
text is never revised, so two things are held back until more text follows: the bytes of an unfinished character, and
whitespace, because a translation does not end in whitespace.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

REPLACEMENT = "\ufffd"
WORD_START = "▁"


@dataclass(frozen=True, slots=True)
class PieceTable:
    """The text or byte of every token id.

    `texts[id]` is the text of a piece, or "" for an id that is never shown: special tokens, language tokens and rows
    without a piece. `bytes_by_id` holds the ids that stand for single bytes of UTF-8 instead.
    """

    texts: Sequence[str]
    bytes_by_id: Mapping[int, bytes]
    replaces_each_byte: bool
    """Whether every invalid byte becomes a U+FFFD, as in SentencePiece, or every run that may begin a character."""

    @classmethod
    def build(cls, pieces: Iterable[tuple[int, str]], *, size: int, byte_ids: Iterable[int]) -> "PieceTable":
        """`pieces` are the (id, piece) that may be shown, with `▁` for a space; `byte_ids` are pieces like `<0xE3>`."""
        texts = [""] * size
        bytes_by_id = {}
        byte_pieces = frozenset(byte_ids)
        for token_id, piece in pieces:
            if token_id in byte_pieces:
                bytes_by_id[token_id] = bytes((int(piece.strip("<>"), 16),))
            else:
                texts[token_id] = piece.replace(WORD_START, " ")
        return cls(texts=tuple(texts), bytes_by_id=bytes_by_id, replaces_each_byte=True)

    @classmethod
    def build_byte_level(cls, pieces: Iterable[tuple[int, str]], *, size: int) -> "PieceTable":
        """`pieces` are the (id, piece) that may be shown, in GPT-2's alphabet: a character for each byte."""
        texts = [""] * size
        bytes_by_id = {}
        alphabet = _byte_level_alphabet()
        for token_id, piece in pieces:
            known = all(character in alphabet for character in piece)
            data = bytes(alphabet[character] for character in piece) if known else piece.encode()
            try:
                texts[token_id] = data.decode()
            except UnicodeDecodeError:
                bytes_by_id[token_id] = data
        return cls(texts=tuple(texts), bytes_by_id=bytes_by_id, replaces_each_byte=False)


def _byte_level_alphabet() -> dict[str, int]:
    """Visible characters of Latin-1 stand for their own bytes, characters from U+0100 on for the rest, in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + index): byte for index, byte in enumerate(others)}


class IncrementalDetokenizer:
    """The deltas of one target. Joined, including that of `finish`, they equal the text of `decode` for the same ids.

    A push takes constant time, however long the target is.
    """

    __slots__ = ("_held_whitespace", "_pending_bytes", "_started", "_table")

    def __init__(self, table: PieceTable) -> None:
        self._table = table
        self._pending_bytes = b""  # the start of one UTF-8 character: three bytes at most
        self._held_whitespace: list[str] = []
        self._started = False  # whether any other character than whitespace has come

    def push(self, token_id: int) -> str:
        """Return the text that is certain now: "" while a character or a run of whitespace is incomplete."""
        text = self._table.texts[token_id]
        if text:
            if self._pending_bytes:
                text = self._abandon_pending() + text
        else:
            data = self._table.bytes_by_id.get(token_id)
            if data is None:
                return ""
            text = self._take_bytes(data)
        return self._hold_back_whitespace(text)

    def finish(self) -> str:
        """Return the rest after the last id: U+FFFD for an unfinished character."""
        return self._hold_back_whitespace(self._abandon_pending())

    def _hold_back_whitespace(self, text: str) -> str:
        shown = text.rstrip()
        if not shown:
            if text and self._started:
                self._held_whitespace.append(text)
            return ""
        trailing = text[len(shown) :]
        if not self._started:
            self._started = True
            shown = shown.lstrip()
        elif self._held_whitespace:
            shown = "".join(self._held_whitespace) + shown
            self._held_whitespace.clear()
        if trailing:
            self._held_whitespace.append(trailing)
        return shown

    def _take_bytes(self, data: bytes) -> str:
        decoded, self._pending_bytes = _decode_prefix(
            self._pending_bytes + data, replaces_each_byte=self._table.replaces_each_byte
        )
        return decoded

    def _abandon_pending(self) -> str:
        num_pending = len(self._pending_bytes)
        self._pending_bytes = b""
        return REPLACEMENT * (num_pending if self._table.replaces_each_byte else min(num_pending, 1))


def decode(table: PieceTable, token_ids: Sequence[int]) -> str:
    return "".join(_deltas(IncrementalDetokenizer(table), token_ids))


def _deltas(detokenizer: IncrementalDetokenizer, token_ids: Sequence[int]) -> Iterator[str]:
    for token_id in token_ids:
        yield detokenizer.push(token_id)
    yield detokenizer.finish()


def _decode_prefix(data: bytes, *, replaces_each_byte: bool) -> tuple[str, bytes]:
    """The characters at the front of `data`, and the bytes at its end that may still become a character.

    Other bytes are replaced, see `PieceTable.replaces_each_byte`. Python's decoders only replace runs, and the
    incremental one holds surrogates back for too long.
    """
    text = ""
    while data:
        length = _character_length(data[0])
        begun = _begun_length(data[:length])
        if begun == len(data) < length:
            return text, data
        if length and begun == length:
            text += data[:length].decode()
        else:
            text += REPLACEMENT
            begun = 1 if replaces_each_byte else max(begun, 1)
        data = data[begun:]
    return text, b""


def _begun_length(data: bytes) -> int:
    """The number of bytes at the front of `data` that begin a character; at least one."""
    if len(data) < 2:
        return len(data)
    low, high = _SECOND_BYTES.get(data[0], _CONTINUATION)
    if not low <= data[1] <= high:
        return 1
    return next((index for index in range(2, len(data)) if not 0x80 <= data[index] <= 0xBF), len(data))


_CONTINUATION = (0x80, 0xBF)
_SECOND_BYTES = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}  # Unicode, table 3-7


def _character_length(lead: int) -> int:
    """The number of bytes of a UTF-8 character that starts with `lead`; 0 if none does."""
    if lead < 0x80:
        return 1
    if 0xC2 <= lead < 0xE0:
        return 2
    if 0xE0 <= lead < 0xF0:
        return 3
    return 4 if 0xF0 <= lead < 0xF5 else 0
