"""The text of one decode of a request, shared by all equal sentences."""

import msgspec

from model.search.results import Hypothesis, Progress, Token
from model.search.spec import DecodeSpec
from model.tokenizers.detokenizer import IncrementalDetokenizer
from service.translation.results import TopToken
from service.translation.routing import ServedModel

SCORE_DIGITS = 4
PROBABILITY_DIGITS = 6


class Delta(msgspec.Struct, frozen=True, gc=False):
    """Text that became certain with a token, or, without one, at the end. The numbers of the token are rounded."""

    text: str
    token_id: int | None = None
    logprob: float | None = None
    top_tokens: list[TopToken] | None = None
    alignment: list[float] | None = None


class DecodedText(msgspec.Struct, eq=False, gc=False):
    """The text is detokenized once, while tokens arrive.

    `num_sentences` counts the sentences that share it; `bytes_per_token` is the growth of the answer by a token over
    all of them. `texts`, by the rank of their hypotheses, are complete once it `is_over`.

    A request may have tens of thousands. They are hidden from the garbage collector (there are no cycles), whose full
    collections would otherwise block the event loop for longer than any other work.
    """

    spec: DecodeSpec
    model: ServedModel
    prefix_ids: tuple[int, ...]
    keeps_deltas: bool
    detokenizer: IncrementalDetokenizer | None
    """None once it is over."""
    num_sentences: int = 0
    bytes_per_token: int = 0
    has_started: bool = False
    num_tokens: int = 0
    text: str = ""
    deltas: list[Delta] = []
    hypotheses: tuple[Hypothesis, ...] = ()
    texts: tuple[str, ...] = ()
    last_token_at: float | None = None

    @classmethod
    def begin(
        cls, spec: DecodeSpec, model: ServedModel, *, prefix_ids: tuple[int, ...], keeps_deltas: bool
    ) -> "DecodedText":
        """`prefix_ids` are the end of the decoder prompt: their text is not emitted, but later text continues it."""
        return cls(spec, model, prefix_ids, keeps_deltas, _detokenizer(model, prefix_ids))

    @property
    def is_over(self) -> bool:
        return bool(self.hypotheses)

    @property
    def is_read(self) -> bool:
        """Whether its text is part of the answer, not just of a text in the pivot language."""
        return self.bytes_per_token > 0

    @property
    def source_tokens(self) -> list[str]:
        names = self.model.tokenizer.source_names
        return [names.get(token_id, "") for token_id in self.spec.source_ids]

    def receive(self, progress: Progress) -> None:
        detokenizer = self.detokenizer
        assert detokenizer is not None, "progress after the end"
        texts = [detokenizer.push(token.token_id) for token in progress.tokens]
        self.num_tokens += len(texts)
        rest = detokenizer.finish() if progress.hypotheses else ""
        if texts:
            texts[-1] += rest
        self.text += "".join(texts) or rest
        if self.keeps_deltas:
            self.deltas += map(self._delta, texts, progress.tokens)
            if rest and not texts:
                self.deltas.append(Delta(rest))
        if progress.hypotheses:
            self.texts = (self.text, *map(self._text_of, progress.hypotheses[1:]))
            self.hypotheses = progress.hypotheses
            self.detokenizer = None

    def token_name(self, token_id: int) -> str:
        return self.model.tokenizer.target_names.get(token_id, "")

    def _delta(self, text: str, token: Token) -> Delta:
        top_tokens = [
            TopToken(self.token_name(token_id), token_id, round(probability, PROBABILITY_DIGITS))
            for token_id, probability in token.details.top_tokens
        ]
        weights = token.details.alignment[: len(self.spec.source_ids)]
        alignment = [round(weight, PROBABILITY_DIGITS) for weight in weights]
        logprob = round(token.logprob, SCORE_DIGITS)
        return Delta(text, token.token_id, logprob, top_tokens or None, alignment or None)

    def _text_of(self, hypothesis: Hypothesis) -> str:
        detokenizer = _detokenizer(self.model, self.prefix_ids)
        return "".join(map(detokenizer.push, hypothesis.token_ids)) + detokenizer.finish()


def _detokenizer(model: ServedModel, prefix_ids: tuple[int, ...]) -> IncrementalDetokenizer:
    detokenizer = model.tokenizer.detokenizer()
    for token_id in prefix_ids:
        detokenizer.push(token_id)
    return detokenizer
