"""The causal mask M as plain numbers, to be shown. Nothing of torch; the decoder's own is in `attention.py`."""

from collections.abc import Sequence

MaskRows = list[list[float]]


def causal_mask_rows(
    num_tokens: int, *, lowest: float, bias_by_distance: Sequence[Sequence[float]] | None = None
) -> MaskRows | list[MaskRows]:
    """M [T, T] of T tokens, or [H, T, T] with a relative bias, of which `bias_by_distance` [H, T or more] is the table.

    Its numbers are 0 or the bias where a position may be seen, and `lowest` where not. Raises ValueError for a table
    that is too short.
    """
    if bias_by_distance is None:
        return _masked([0.0] * num_tokens, num_tokens, lowest)
    if any(len(of_head) < num_tokens for of_head in bias_by_distance):
        raise ValueError(f"bias_by_distance is shorter than {num_tokens} tokens")
    return [_masked(of_head, num_tokens, lowest) for of_head in bias_by_distance]


def _masked(by_distance: Sequence[float], num_tokens: int, lowest: float) -> MaskRows:
    """One head's rows: the token at position p sees positions 0 to p, at the distances p to 0."""
    return [[*by_distance[position::-1], *[lowest] * (num_tokens - 1 - position)] for position in range(num_tokens)]
