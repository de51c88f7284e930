"""Groups of sequences that can share one padded batch."""

from collections.abc import Callable, Iterable
from typing import TypeVar

MAX_PADDED = 1.25
_MAX_PADDING_TOKENS = 4
"""Allowed on top of the quarter, so that very short sequences share groups."""

ItemT = TypeVar("ItemT")


def length_groups(items: Iterable[ItemT], lengths: Callable[[ItemT], tuple[int, ...]]) -> list[list[ItemT]]:
    """Group items by their `lengths`, so that no length is padded by much more than a quarter."""
    groups: list[list[ItemT]] = []
    for item in sorted(items, key=lengths):
        if groups and _fits(lengths(groups[-1][0]), lengths(item)):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _fits(first: tuple[int, ...], lengths: tuple[int, ...]) -> bool:
    return all(
        shortest <= length <= MAX_PADDED * shortest + _MAX_PADDING_TOKENS
        for shortest, length in zip(first, lengths, strict=True)
    )
