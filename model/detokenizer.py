"""Token ids to text, whole or an id at a time.

A checkpoint's pieces are rendered once, at load, into a `PieceTable`; after that an id costs a table look-up. What has
been handed out is never taken back, so three things wait for what follows them: the bytes of an unfinished character,
whitespace (a translation does not end in it), and nothing else.
"""

import codecs
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
        data = self._pending_bytes + data
        if self._table.replaces_each_byte:
            decoded, self._pending_bytes = _decode_prefix(data)
        else:
            decoded, num_decoded = codecs.utf_8_decode(data, "replace", False)  # not the end
            self._pending_bytes = data[num_decoded:]
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


def _decode_prefix(data: bytes) -> tuple[str, bytes]:
    """The characters at the front of `data`, and the bytes that may still become a character.

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
