"""Counts the characters translated for each key since the server started."""

from collections import Counter


class CharacterUsage:
    def __init__(self) -> None:
        self._counts: Counter[str | None] = Counter()

    def add(self, key: str | None, num_characters: int) -> None:
        """`key` is a key's name, or None if no key is required."""
        self._counts[key] += num_characters

    def count(self, key: str | None) -> int:
        return self._counts[key]
