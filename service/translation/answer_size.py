"""The size of an answer in bytes of JSON: estimated before the work, and counted during it.

- A text in a target language: 200, and 4 for each character that is kept unchanged.
- A target token: 6 for each hypothesis and for `text`, which repeats the best one. If tokens are returned, 80 more, 60
  for each of its `top_tokens`, and 9 for each source token of its sentence if it has an `alignment`.
- A source token: 10, if tokens are returned.

The estimate for a sentence of n source tokens is 2n + 8 target tokens, or `max_new_tokens` if that is less. Most
sentences need half of that; an answer that outgrows its limit anyway ends with the same error. The events of a stream
do not count, because they are not collected.
"""

from service.engine.events import TOKEN_EVENT_BYTES, TOP_TOKEN_BYTES, WEIGHT_BYTES, token_event_bytes
from service.errors import TooLargeError
from service.translation.request import TranslationRequest
from service.translation.results import TokenEvent, Translation

TRANSLATION_BYTES = 200
KEPT_CHARACTER_BYTES = 4
TEXT_BYTES = 6
ENTRY_BYTES = 80
SOURCE_TOKEN_BYTES = 10
EVENT_BYTES = TOKEN_EVENT_BYTES
"""Processing an event of the engine takes about as long as making one for a stream."""


class AnswerSize:
    """The bytes of one answer so far."""

    def __init__(self, request: TranslationRequest, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._num_texts = request.num_hypotheses + 1
        self._entry_bytes = ENTRY_BYTES + TOP_TOKEN_BYTES * request.num_top_tokens if request.with_tokens else 0
        self._weight_bytes = WEIGHT_BYTES if request.with_tokens and request.with_alignment else 0
        self._source_token_bytes = SOURCE_TOKEN_BYTES if request.with_tokens else 0

    def add(self, num_bytes: int) -> None:
        """Count more bytes. Raises TooLargeError if the answer exceeds its limit."""
        self._num_bytes += num_bytes
        if self._num_bytes > self._max_bytes:
            raise TooLargeError(
                f"the answer would have more than {self._max_bytes} bytes; the limit is {self._max_bytes}. "
                "Send less text, or request fewer targets, hypotheses or extra fields"
            )

    def has_room_for(self, num_bytes: int) -> bool:
        return self._num_bytes + num_bytes <= self._max_bytes

    def token_bytes(self, num_source_tokens: int) -> int:
        """The bytes of one target token of a sentence with that many source tokens."""
        return TEXT_BYTES * self._num_texts + self._entry_bytes + self._weight_bytes * num_source_tokens

    def expected_sentence_bytes(self, num_source_tokens: int, *, max_new_tokens: int) -> int:
        num_target_tokens = min(2 * num_source_tokens + 8, max_new_tokens)
        return num_target_tokens * self.token_bytes(num_source_tokens) + num_source_tokens * self._source_token_bytes

    def kept_bytes(self, num_characters: int) -> int:
        """The bytes of text that is kept unchanged in every hypothesis."""
        return KEPT_CHARACTER_BYTES * self._num_texts * num_characters


def event_bytes(event: TokenEvent) -> int:
    return len(event.text) + token_event_bytes(len(event.top_tokens or ()), num_weights=len(event.alignment or ()))


def translation_bytes(translation: Translation) -> int:
    """The bytes of a translation without the extra fields of tokens, which were counted on arrival."""
    num_characters = (len(translation.hypotheses) + 1) * len(translation.text)
    return TRANSLATION_BYTES + num_characters + EVENT_BYTES * len(translation.tokens or ())
