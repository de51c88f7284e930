"""The causal mask M as plain numbers, for display, without torch. The decoder's own mask is in `attention.py`."""

from collections.abc import Sequence

MaskRows = list[list[float]]


def causal_mask_rows(
    num_tokens: int, *, lowest: float, bias_by_distance: Sequence[Sequence[float]] | None = None
) -> MaskRows | list[MaskRows]:
    """M [T, T] of T tokens, or [H, T, T] with the table of a relative bias, `bias_by_distance` [H, at least T].

    Its values are 0 or the bias where a position may be seen, and `lowest` elsewhere. Raises ValueError for a table
    that is too short.
    """
    if bias_by_distance is None:
        return _masked([0.0] * num_tokens, num_tokens, lowest)
    if any(len(of_head) < num_tokens for of_head in bias_by_distance):
        raise ValueError(f"bias_by_distance is shorter than {num_tokens} tokens")
    return [_masked(of_head, num_tokens, lowest) for of_head in bias_by_distance]


def _masked(by_distance: Sequence[float], num_tokens: int, lowest: float) -> MaskRows:
    """The rows of one head: the token at position p sees positions 0 to p, at distances p to 0."""
    return [[*by_distance[position::-1], *[lowest] * (num_tokens - 1 - position)] for position in range(num_tokens)]
