"""Token ids to text, whole or an id at a time.

A checkpoint's pieces are rendered once, at load, into a `PieceTable`; after that an id costs a table look-up. What has
been handed out is never taken back, so three things wait for what follows them: the bytes of an unfinished character,
whitespace (a translation does not end in it), and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

REPLACEMENT = "\ufffd"
WORD_START = "▁"


@dataclass(frozen=True, slots=True)
class PieceTable:
    """What each token id stands for.

    `texts[id]` is the text of a piece, "" for an id that is never shown: special and language tokens, rows without a
    piece. `bytes_by_id` holds the ids that stand for one byte of UTF-8 instead.
    """

    texts: Sequence[str]
    bytes_by_id: Mapping[int, int]

    @classmethod
    def build(cls, pieces: Iterable[tuple[int, str]], *, size: int, byte_ids: Iterable[int]) -> "PieceTable":
        """`pieces` are (id, piece) of what may be shown, `▁` for a space; `byte_ids` those written like `<0xE3>`."""
        texts = [""] * size
        bytes_by_id = {}
        byte_pieces = frozenset(byte_ids)
        for token_id, piece in pieces:
            if token_id in byte_pieces:
                bytes_by_id[token_id] = int(piece.strip("<>"), 16)
            else:
                texts[token_id] = piece.replace(WORD_START, " ")
        return cls(texts=tuple(texts), bytes_by_id=bytes_by_id)


class IncrementalDetokenizer:
    """Deltas of one target: joined, with that of `finish`, they are the text that `decode` gives for the same ids.

    A push takes constant time, however long the target is.
    """

    __slots__ = ("_held_whitespace", "_pending_bytes", "_started", "_table")

    def __init__(self, table: PieceTable) -> None:
        self._table = table
        self._pending_bytes = b""  # the start of one UTF-8 character: three bytes at most
        self._held_whitespace: list[str] = []
        self._started = False  # has anything but whitespace been seen?

    def push(self, token_id: int) -> str:
        """The text that is certain now; often "", when a character or a run of whitespace is not complete."""
        text = self._table.texts[token_id]
        if text:
            if self._pending_bytes:
                text = self._abandon_pending() + text
        else:
            byte = self._table.bytes_by_id.get(token_id)
            if byte is None:
                return ""
            text = self._take_byte(byte)
        return self._hold_back_whitespace(text)

    def finish(self) -> str:
        """What is left when the last id has been pushed: U+FFFD for each byte of an unfinished character."""
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

    def _take_byte(self, byte: int) -> str:
        decoded, self._pending_bytes = _decode_prefix(self._pending_bytes + bytes((byte,)))
        return decoded

    def _abandon_pending(self) -> str:
        abandoned = REPLACEMENT * len(self._pending_bytes)
        self._pending_bytes = b""
        return abandoned


def decode(table: PieceTable, token_ids: Sequence[int]) -> str:
    return "".join(_deltas(IncrementalDetokenizer(table), token_ids))


def _deltas(detokenizer: IncrementalDetokenizer, token_ids: Sequence[int]) -> Iterator[str]:
    for token_id in token_ids:
        yield detokenizer.push(token_id)
    yield detokenizer.finish()


def _decode_prefix(data: bytes) -> tuple[str, bytes]:
    """The characters at the front of at most four bytes, and the bytes that may still become a character.

    As in SentencePiece, each byte that cannot start a character becomes one U+FFFD, and decoding goes on with the next;
    Python's own `errors="replace"` would make one U+FFFD of several.
    """
    text = ""
    while data:
        length = _character_length(data[0])
        whole = data[:length]
        if length and len(data) < length and all(0x80 <= byte < 0xC0 for byte in data[1:]):
            return text, data
        try:
            text += whole.decode() if length else REPLACEMENT
        except UnicodeDecodeError:
            length = 0
            text += REPLACEMENT
        data = data[length or 1 :]
    return text, b""


def _character_length(lead: int) -> int:
    """Bytes in the UTF-8 character that starts with `lead`; 0 where none does."""
    if lead < 0x80:
        return 1
    if 0xC2 <= lead < 0xE0:
        return 2
    if 0xE0 <= lead < 0xF0:
        return 3
    return 4 if 0xF0 <= lead < 0xF5 else 0
