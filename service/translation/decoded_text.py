"""The text of one decode of a request, or of several in a row, shared by all equal sentences."""

from collections.abc import Sequence

import msgspec

from model.search.results import Hypothesis, Progress, Token
from model.search.spec import DecodeSpec
from model.tokenizers.detokenizer import IncrementalDetokenizer
from service.text.weaving import Woven
from service.translation.continuation import joined, loops, next_spec, runs_on
from service.translation.results import TopToken
from service.translation.routing import ServedModel

SCORE_DIGITS = 4
PROBABILITY_DIGITS = 6


class Delta(msgspec.Struct, frozen=True, gc=False):
    """Text that became final with a token, or at the end without a token. The numbers of the token are rounded."""

    text: str
    token_id: int | None = None
    logprob: float | None = None
    top_tokens: list[TopToken] | None = None
    alignment: list[float] | None = None


class DecodedText(msgspec.Struct, eq=False, gc=False):
    """The text of a decode, detokenized once, while tokens arrive.

    `num_sentences` counts the sentences that share it; `bytes_per_token` is how much a token adds to the answer over
    all of them. `texts`, by the rank of their hypotheses, are complete once it `is_over`.

    If the text reaches the limit of a decode and `may_go_on`, another decode goes on from `head`, the best hypothesis
    so far. `spec` is the spec of the first decode.

    A request may have tens of thousands of these objects. They have no cycles and are hidden from the garbage
    collector, because its full collections would block the event loop for longer than any other work.
    """

    spec: DecodeSpec
    model: ServedModel
    prefix_ids: tuple[int, ...]
    keeps_deltas: bool
    may_go_on: bool
    shows_alignment: bool
    detokenizer: IncrementalDetokenizer | None
    """None once the text is over."""
    num_sentences: int = 0
    bytes_per_token: int = 0
    has_started: bool = False
    head: Hypothesis | None = None
    continuations: list[DecodeSpec] = []
    """The decodes that went on from the first, in order."""
    num_tokens: int = 0
    text: str = ""
    deltas: list[Delta] = []
    alignments: list[tuple[float, ...]] = []
    """The cross-attention of each token, if the spec requests it."""
    woven: dict[tuple[object, int], Woven] = {}
    """The hypotheses with insets in them, by the insets of a sentence and the rank."""
    weaving_work: int = 0
    """Target tokens times insets and terms, since the last `take_weaving_work`."""
    hypotheses: tuple[Hypothesis, ...] = ()
    texts: tuple[str, ...] = ()
    last_token_at: float | None = None

    @classmethod
    def begin(
        cls,
        spec: DecodeSpec,
        model: ServedModel,
        *,
        prefix_ids: tuple[int, ...],
        keeps_deltas: bool,
        may_go_on: bool,
        shows_alignment: bool,
    ) -> "DecodedText":
        """`prefix_ids` are the end of the decoder prompt: their text is not emitted, but later text continues it."""
        detokenizer = _detokenizer(model, prefix_ids)
        return cls(spec, model, prefix_ids, keeps_deltas, may_go_on, shows_alignment, detokenizer)

    @property
    def is_over(self) -> bool:
        return bool(self.hypotheses)

    @property
    def is_read(self) -> bool:
        """Whether the text is part of the answer, and not only of a text in the pivot language."""
        return self.bytes_per_token > 0

    @property
    def source_tokens(self) -> list[str]:
        names = self.model.tokenizer.source_names
        return [names.get(token_id, "") for token_id in self.spec.source_ids]

    def receive(self, progress: Progress) -> DecodeSpec | None:
        """Take the next event of the decode. Returns the spec of the decode that continues it, if it was too short."""
        detokenizer = self.detokenizer
        assert detokenizer is not None, "progress after the end"
        texts = [detokenizer.push(token.token_id) for token in progress.tokens]
        self.num_tokens += len(texts)
        hypotheses = self._ended(progress.hypotheses)
        rest = detokenizer.finish() if hypotheses else ""
        if texts:
            texts[-1] += rest
        self.text += "".join(texts) or rest
        if self.spec.with_alignment:
            self.alignments += (token.details.alignment for token in progress.tokens)
        if self.keeps_deltas:
            self.deltas += map(self._delta, texts, progress.tokens)
            if rest and not texts:
                self.deltas.append(Delta(rest))
        if hypotheses:
            self.texts = (self.text, *map(self._text_of, hypotheses[1:]))
            self.hypotheses = hypotheses
            self.detokenizer = None
        elif progress.hypotheses:
            return self.continuations[-1]
        return None

    def _next_spec(self, head: Hypothesis) -> DecodeSpec:
        eos_token_id = self.model.checkpoint.config.eos_token_id  # a rule may force it at the limit
        target_ids = tuple(token_id for token_id in head.token_ids if token_id != eos_token_id)
        return next_spec(self.spec, target_ids, num_prefix_tokens=len(self.prefix_ids))

    def _ended(self, hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
        """The hypotheses of the whole target if it is over; otherwise none, and the best so far becomes the `head`."""
        if not hypotheses:
            return ()
        whole = tuple(joined(self.head, each) for each in hypotheses)
        if whole[0].finish_reason != "length" or not self.may_go_on:
            return whole
        target_ids, source_ids = whole[0].token_ids, self.spec.source_ids
        continuation = self._next_spec(whole[0])
        # A spec decides the result of its decode, so one that recurs would recur for ever.
        is_endless = continuation in self.continuations or runs_on(target_ids, source_ids)
        if is_endless or (self.spec.repetition_guard and loops(target_ids, source_ids)):
            return tuple(each._replace(finish_reason="repetition") for each in whole)
        self.head = whole[0]
        self.continuations.append(continuation)
        return ()

    def take_weaving_work(self) -> int:
        work, self.weaving_work = self.weaving_work, 0
        return work

    def aligned_deltas(self, rank: int) -> tuple[list[str], Sequence[Sequence[float]]]:
        """The text of each token of a hypothesis, and its cross-attention if the spec requests it.

        The text must be over.
        """
        hypothesis = self.hypotheses[rank]
        detokenizer = _detokenizer(self.model, self.prefix_ids)
        deltas = [detokenizer.push(token_id) for token_id in hypothesis.token_ids]
        if deltas:
            deltas[-1] += detokenizer.finish()
        own = [details.alignment for details in hypothesis.details]  # from the last decode, if it is not the best
        return deltas, [*self.alignments[: len(deltas) - len(own)], *own]

    def token_name(self, token_id: int) -> str:
        return self.model.tokenizer.target_names.get(token_id, "")

    def _delta(self, text: str, token: Token) -> Delta:
        top_tokens = [
            TopToken(self.token_name(token_id), token_id, round(probability, PROBABILITY_DIGITS))
            for token_id, probability in token.details.top_tokens
        ]
        weights = token.details.alignment[: len(self.spec.source_ids)]
        alignment = [round(weight, PROBABILITY_DIGITS) for weight in weights] if self.shows_alignment else []
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
