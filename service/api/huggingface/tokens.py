"""Tokens in the shape of text-generation-inference: always with id and log-probability, end tokens without text."""

from collections.abc import Sequence

from service.api.huggingface.answers import FinishReason, GeneratedToken, StreamDetails, StreamEvent
from service.translation.active import ActiveTranslation
from service.translation.results import TokenEvent, Translation

NO_TOKEN_ID = 0
"""The id of text that belongs to no token, such as white space between sentences. Its log-probability is 0."""


def finish_reason(translation: Translation) -> FinishReason:
    return "length" if translation.finish_reason == "length" else "eos_token"


class TokenReader:
    """Converts the token events of a request with one text and one target."""

    def __init__(self, active: ActiveTranslation) -> None:
        (target_text,) = active.target_texts
        legs = target_text.route.legs
        self._end_id = legs[-1].model.checkpoint.config.eos_token_id if legs else None

    def read(self, event: TokenEvent) -> list[GeneratedToken]:
        if event.token_id is None or event.logprob is None:
            return [GeneratedToken(NO_TOKEN_ID, event.text, 0.0, special=False)]
        if event.token_id != self._end_id:
            return [GeneratedToken(event.token_id, event.text, event.logprob, special=False)]
        end = self.end(event.logprob)
        return [GeneratedToken(NO_TOKEN_ID, event.text, 0.0, special=False), end] if event.text else [end]

    def end(self, logprob: float = 0.0) -> GeneratedToken:
        return GeneratedToken(self._end_id or NO_TOKEN_ID, "", logprob, special=True)


class EventNumbers:
    """Numbers the events of one stream. The last event carries the whole text.

    An end token is held back until the next item shows whether it is the last.
    """

    def __init__(self, active: ActiveTranslation, *, with_details: bool, seed: int | None) -> None:
        self._active = active
        self._reader = TokenReader(active)
        self._with_details = with_details
        self._seed = seed
        self._num_events = 0
        self._held: list[GeneratedToken] = []

    def events(self, items: Sequence[TokenEvent | Translation]) -> list[StreamEvent]:
        tokens = self._held
        for item in items:
            if isinstance(item, Translation):
                return self._last(tokens or [self._reader.end()], item)
            tokens += self._reader.read(item)
        is_held = bool(tokens) and tokens[-1].special
        self._held = [tokens.pop()] if is_held else []
        return list(map(self._event, tokens))

    def _last(self, tokens: Sequence[GeneratedToken], translation: Translation) -> list[StreamEvent]:
        events = list(map(self._event, tokens))
        details = StreamDetails(
            finish_reason(translation), self._num_events, self._seed, self._active.usage.source_tokens
        )
        last = StreamEvent(
            events[-1].index, events[-1].token, translation.text, details if self._with_details else None
        )
        return [*events[:-1], last]

    def _event(self, token: GeneratedToken) -> StreamEvent:
        self._num_events += 1
        return StreamEvent(self._num_events, token)
