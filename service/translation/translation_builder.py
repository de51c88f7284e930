"""Build the translation of one text into one language, sentence by sentence."""

from collections.abc import Callable, Sequence

from model.search.results import FinishReason
from service.errors import quoted
from service.text.weaving import Woven
from service.translation.decoded_text import SCORE_DIGITS, DecodedText
from service.translation.results import HypothesisText, TokenEntry, Translation
from service.translation.target_text import TargetText


class _Ranked:
    """The hypotheses of one rank of all sentences."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._num_tokens = 0
        self._weighted_score = 0.0

    def add(self, decoded: DecodedText, texts: Sequence[str], *, rank: int) -> None:
        """Add a sentence; one without a hypothesis of this rank contributes its last one."""
        place = min(rank, len(decoded.hypotheses) - 1)
        hypothesis = decoded.hypotheses[place]
        self.pieces.append(texts[place])
        self._num_tokens += len(hypothesis.token_ids)
        self._weighted_score += hypothesis.score * len(hypothesis.token_ids)

    def build(self, render: Callable[[str], str]) -> HypothesisText:
        score = round(self._weighted_score / self._num_tokens, SCORE_DIGITS) if self._num_tokens else 0.0
        return HypothesisText(render("".join(self.pieces)), score)


class TranslationBuilder:
    """Receives the text of a translation in order: sentences, and the text between them."""

    def __init__(self, target_text: TargetText, *, num_hypotheses: int, with_tokens: bool) -> None:
        self._target_text = target_text
        self._ranks = [_Ranked() for _ in range(num_hypotheses)]
        self._num_ranks = 1
        self._finish_reasons: set[FinishReason] = set()
        self._tokens: list[TokenEntry] | None = [] if with_tokens else None
        self._source_tokens: list[list[str]] | None = [] if with_tokens else None
        self._displaced: list[str] = []

    def keep(self, text: str) -> None:
        for ranked in self._ranks:
            ranked.pieces.append(text)

    def add(self, sentence_index: int, decoded: DecodedText, woven: Sequence[Woven] = ()) -> None:
        """Add a sentence, or a part of one, that has ended on its last leg. `woven` are its hypotheses with insets."""
        texts = [each.text for each in woven] or decoded.texts
        for rank, ranked in enumerate(self._ranks):
            ranked.add(decoded, texts, rank=rank)
        if woven:
            self._displaced += woven[0].displaced
        self._num_ranks = max(self._num_ranks, len(decoded.hypotheses))
        self._finish_reasons.add(decoded.hypotheses[0].finish_reason)
        if self._tokens is not None and self._source_tokens is not None:
            self._tokens += _entries(sentence_index, decoded)
            self._source_tokens.append(decoded.source_tokens)

    def build(self) -> Translation:
        renderers = [self._target_text.renderer() for _ in self._ranks[: self._num_ranks]]
        hypotheses = [ranked.build(render) for ranked, render in zip(self._ranks, renderers, strict=False)]
        detected = self._target_text.detected
        return Translation(
            text_index=self._target_text.text_index,
            target_lang=self._target_text.target_lang,
            pivot_lang=self._target_text.route.pivot_lang,
            text=hypotheses[0].text,
            score=hypotheses[0].score,
            detected_source_lang=detected.code if detected else None,
            detected_confidence=detected.confidence if detected else None,
            finish_reason=self._finish_reason(),
            hypotheses=hypotheses,
            warnings=[_warning(renderers[0](text)) for text in self._displaced] or None,
            tokens=self._tokens,
            source_tokens=self._source_tokens,
        )

    def _finish_reason(self) -> FinishReason:
        """`length` if any sentence was cut short, or else `repetition` if any ended with it, or else `stop`."""
        if "length" in self._finish_reasons:
            return "length"
        return "repetition" if "repetition" in self._finish_reasons else "stop"


def _warning(displaced: str) -> str:
    return f"{quoted(displaced)} may not be in its exact place"


def _entries(sentence_index: int, decoded: DecodedText) -> list[TokenEntry]:
    return [
        TokenEntry(
            sentence_index,
            decoded.token_name(delta.token_id),
            delta.token_id,
            delta.logprob,
            delta.top_tokens,
            delta.alignment,
        )
        for delta in decoded.deltas
        if delta.token_id is not None and delta.logprob is not None
    ]
