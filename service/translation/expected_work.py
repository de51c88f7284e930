"""The work that a request is expected to be, from its characters alone. Pure policy.

It refuses a request before its texts are cut and tokenized, which takes several times as long as everything else that a
refusal costs. The tokens a character are a running average over about the last MEMORY_CHARACTERS.
"""

from service.engine.running_ratio import RunningRatio
from service.translation.request import TranslationRequest

MEMORY_CHARACTERS = 20_000.0


class ExpectedWork:
    def __init__(self) -> None:
        self._tokens_a_character = RunningRatio(MEMORY_CHARACTERS)

    def of(self, request: TranslationRequest) -> int | None:
        """Tokens to generate, over all rows; None before anything was learned."""
        ratio = self._tokens_a_character
        return int(ratio.of(_size(request))) if ratio.denominator else None

    def learn(self, request: TranslationRequest, num_tokens: int) -> None:
        """The decodes of a whole request are expected to generate `num_tokens`, over all rows."""
        self._tokens_a_character.learn(num_tokens, _size(request))


def _size(request: TranslationRequest) -> int:
    """Characters, over all targets and rows."""
    return request.num_characters * request.num_targets * request.beam_size
