"""Continue a translation that reaches the limit of a decode in another one, with its end as a prefix.

Both decodes have the same source. The decoder reads on in the source where the prefix leaves off, so a prefix of half
the limit is enough. A translation that has become many times longer than its source is no longer a translation, and
does not go on.
"""

from dataclasses import replace

from model.search.results import Hypothesis
from model.search.spec import DecodeSpec

MIN_LIMIT = 16
"""The smallest limit of a decode, in tokens; a smaller one leaves too few words to go on from."""
MAX_EXPANSION = 4
MAX_MORE_TOKENS = 64


def runs_on(num_target_tokens: int, *, num_source_tokens: int) -> bool:
    return num_target_tokens > MAX_EXPANSION * num_source_tokens + MAX_MORE_TOKENS


def next_spec(first: DecodeSpec, target_ids: tuple[int, ...], *, num_prefix_tokens: int) -> DecodeSpec:
    """The decode that continues `target_ids`, which are all tokens of `first` and its continuations so far.

    The last `num_prefix_tokens` of the decoder prompt of `first` are also a part of the target.
    """
    num_prompt_tokens = len(first.decoder_prompt) - num_prefix_tokens
    limit = num_prefix_tokens + first.max_new_tokens
    whole = (*first.decoder_prompt[num_prompt_tokens:], *target_ids)
    context = whole[-(limit // 2) :]
    prompt = (*first.decoder_prompt[:num_prompt_tokens], *context)
    return replace(
        first,
        decoder_prompt=prompt,
        max_new_tokens=limit - len(context),
        num_uncounted_tokens=first.num_uncounted_tokens if first.beam_size > 1 else len(prompt),
    )


def joined(head: Hypothesis | None, rest: Hypothesis) -> Hypothesis:
    """Join two parts into one hypothesis; its score is the mean of theirs, weighted by tokens."""
    if head is None:
        return rest
    num_head, num_rest = len(head.token_ids), len(rest.token_ids)
    return rest._replace(
        token_ids=head.token_ids + rest.token_ids,
        logprobs=head.logprobs + rest.logprobs,
        score=(head.score * num_head + rest.score * num_rest) / (num_head + num_rest),
    )
