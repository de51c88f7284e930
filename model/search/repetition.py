"""Find loops: an n-gram that repeats exactly, or with one token that varies (a counter, a mark)."""

from collections.abc import Sequence

MAX_LOOP_NGRAM = 8
MIN_LOOP_REPEATS = 4
MIN_LOOP_TOKENS = 16
MIN_VARIED_REPEATS = 6
MIN_VARIED_TOKENS = 32
MIN_SOURCE_REPEATS = 3
_SPANS = tuple(
    (n, max(MIN_LOOP_REPEATS * n, MIN_LOOP_TOKENS), max(MIN_VARIED_REPEATS * n, MIN_VARIED_TOKENS))
    for n in range(1, MAX_LOOP_NGRAM + 1)
)


def is_looping(token_ids: list[int], *, more: int = 0) -> bool:
    """Whether the tokens end in an n-gram (n <= 8) repeated at least 4 times and over at least 16 tokens.

    If one token of the n-gram varies, it takes at least 6 repetitions over at least 32 tokens. `more` is added to both
    minimum spans, in tokens.
    This is called for every token of every row.
    """
    num_tokens = len(token_ids)
    for n, span, varied_span in _SPANS:
        if num_tokens < span + more:
            return False
        if token_ids[-1] != token_ids[-1 - n]:
            continue
        if token_ids[-span - more : -n] == token_ids[n - span - more :]:
            return True
        # Ordinary text rarely gets here, where Python iterates over the whole span.
        tail = token_ids[-varied_span - more :]
        is_long = len(tail) == varied_span + more
        if is_long and tail[-1] == tail[-1 - 2 * n] and longest_loop(tail, ngrams=(n,)) == len(tail):
            return True
    return False


def longest_loop(token_ids: Sequence[int], *, ngrams: Sequence[int] = range(1, MAX_LOOP_NGRAM + 1)) -> int:
    """The number of tokens of the longest loop: an n-gram, or all but one token of it, at least 3 times in a row."""
    longest = 0
    for n in ngrams:
        # In the stretch from `start` on, tokens equal those n before, except at one place of the n-gram.
        start, last_change = n, -1
        for index in range(n, len(token_ids)):
            if token_ids[index] != token_ids[index - n]:
                if n == 1:
                    start = index + 1
                elif last_change >= start and (index - last_change) % n:
                    start = last_change + 1
                last_change = index
            length = index - start + 1 + n
            if length > longest and length >= MIN_SOURCE_REPEATS * n:
                longest = length
    return longest
