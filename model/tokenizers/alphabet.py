"""The characters that a tokenizer can write."""

from collections.abc import Callable


class Alphabet:
    """Queries the tokenizer once for each character. Threads may share an instance."""

    def __init__(self, piece_ids: Callable[[str], list[int]], *, unk_token_id: int | None) -> None:
        """Without an unknown token, every character can be written."""
        self._piece_ids = piece_ids
        self._unk_token_id = unk_token_id
        self._known: set[str] = set()
        self._lacking: set[str] = set()

    def lacking(self, text: str) -> set[str]:
        """The characters of `text` that would become the unknown token, except white space and lone surrogates."""
        characters = set(text) - self._known
        for character in characters - self._lacking:
            (self._lacking if self._is_lacking(character) else self._known).add(character)
        return characters & self._lacking

    def _is_lacking(self, character: str) -> bool:
        if character.isspace() or "\ud800" <= character <= "\udfff" or self._unk_token_id is None:
            return False
        return self._unk_token_id in self._piece_ids(character)
