"""The work that a request is expected to be, from its characters alone. Pure policy.

It refuses a request before its texts are cut and tokenized, which takes several times as long as everything else that a
refusal costs. The tokens a character are a running average over about the last MEMORY_CHARACTERS.
"""

from service.translation.request import TranslationRequest

MEMORY_CHARACTERS = 20_000.0


class ExpectedWork:
    def __init__(self) -> None:
        self._num_characters = 0.0
        self._num_tokens = 0.0

    def of(self, request: TranslationRequest) -> int | None:
        """Tokens to generate, over all rows; None before anything was learned."""
        if not self._num_characters:
            return None
        return int(_size(request) * self._num_tokens / self._num_characters)

    def learn(self, request: TranslationRequest, num_tokens: int) -> None:
        """The decodes of a whole request are expected to generate `num_tokens`, over all rows."""
        size = _size(request)
        kept = max(0.0, 1 - size / MEMORY_CHARACTERS)
        self._num_characters = kept * self._num_characters + size
        self._num_tokens = kept * self._num_tokens + num_tokens


def _size(request: TranslationRequest) -> int:
    """Characters, over all targets and rows."""
    return request.num_characters * request.num_targets * request.beam_size
