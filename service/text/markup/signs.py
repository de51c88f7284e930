"""Characters that stand for pieces of markup while a text is translated.

They are private use characters of Unicode, are in no vocabulary, and differ from all characters of the text.
"""

from collections.abc import Iterable

from service.errors import TooLargeError

_PRIVATE = range(0xF0000, 0x110000)


class Signs:
    def __init__(self, used: Iterable[str]) -> None:
        """`used` are the characters of the text."""
        taken = set(used)
        self._fresh = (sign for sign in map(chr, _PRIVATE) if sign not in taken)
        self._by_piece: dict[str, str] = {}

    @property
    def pieces(self) -> dict[int, str]:
        """The pieces by the code points of their signs, as `str.translate` expects them."""
        return {ord(sign): piece for piece, sign in self._by_piece.items()}

    def of(self, piece: str) -> str:
        """The sign of a piece. Equal pieces share a sign, so equal sentences stay equal. Raises TooLargeError."""
        return self._by_piece.get(piece) or self._by_piece.setdefault(piece, self.fresh())

    def fresh(self) -> str:
        """A new sign without a piece. Raises TooLargeError if none is left."""
        sign = next(self._fresh, None)
        if sign is None:
            raise TooLargeError(f"the text has more than {len(_PRIVATE):,} different tags; send it in parts")
        return sign
