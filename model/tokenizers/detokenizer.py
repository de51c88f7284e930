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
    piece. `bytes_by_id` holds the ids that stand for bytes of UTF-8 instead, which are no text by themselves.
    """

    texts: Sequence[str]
    bytes_by_id: Mapping[int, bytes]
    replaces_each_byte: bool
    """Does each byte of no character become a U+FFFD, as in SentencePiece, or each run that could have begun one?"""

    @classmethod
    def build(cls, pieces: Iterable[tuple[int, str]], *, size: int, byte_ids: Iterable[int]) -> "PieceTable":
        """`pieces` are (id, piece) of what may be shown, `▁` for a space; `byte_ids` those written like `<0xE3>`."""
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
        """`pieces` are (id, piece) of what may be shown, in GPT-2's alphabet: a character for each byte."""
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
    """A visible character of Latin-1 stands for its own byte, those from U+0100 on for the other bytes in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + index): byte for index, byte in enumerate(others)}


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
            data = self._table.bytes_by_id.get(token_id)
            if data is None:
                return ""
            text = self._take_bytes(data)
        return self._hold_back_whitespace(text)

    def finish(self) -> str:
        """What is left when the last id has been pushed: U+FFFD for an unfinished character."""
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
    """The characters at the front of `data`, and the bytes at its end that may still become one.

    What cannot is replaced as `PieceTable.replaces_each_byte` has it. Python's decoders replace runs only, and its
    incremental one waits too long for surrogates.
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
    """How many bytes at the front of `data`, of which the first may be one, are the beginning of a character."""
    if len(data) < 2:
        return len(data)
    low, high = _SECOND_BYTES.get(data[0], _CONTINUATION)
    if not low <= data[1] <= high:
        return 1
    return next((index for index in range(2, len(data)) if not 0x80 <= data[index] <= 0xBF), len(data))


_CONTINUATION = (0x80, 0xBF)
_SECOND_BYTES = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}  # Unicode, table 3-7


def _character_length(lead: int) -> int:
    """Bytes in the UTF-8 character that starts with `lead`; 0 where none does."""
    if lead < 0x80:
        return 1
    if 0xC2 <= lead < 0xE0:
        return 2
    if 0xE0 <= lead < 0xF0:
        return 3
    return 4 if 0xF0 <= lead < 0xF5 else 0
