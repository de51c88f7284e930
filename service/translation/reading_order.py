"""The sentences of one text in one language, decoded in any order and told in reading order.

Tokens of a sentence whose turn has not come are held back, so that the deltas of one text and target, joined in the
order sent, are its translation.
"""

from dataclasses import dataclass, field

from model.search import types as search_types
from model.search.types import FinishReason
from model.tokenizers.detokenizer import IncrementalDetokenizer
from service.engine.types import Sequence, SequenceProgress
from service.translation.results import Hypothesis, Token, TokenEntry, TopToken, Translation
from service.translation.routing import Leg, Route

SCORE_DIGITS = 4
PROBABILITY_DIGITS = 6


@dataclass(slots=True, eq=False)
class Sentence:
    """One sentence on one leg of its route. `before` and `after` are what stands around it in the translation."""

    sequence: Sequence
    index: int
    leg: Leg
    is_last_leg: bool
    before: str
    after: str
    detokenizer: IncrementalDetokenizer
    prefix_ids: tuple[int, ...] = ()
    text: str = ""
    held_tokens: list[Token] = field(default_factory=list)
    entries: list[TokenEntry] = field(default_factory=list)
    num_tokens: int = 0
    hypotheses: tuple[search_types.Hypothesis, ...] = ()
    is_over: bool = False
    last_token_at: float | None = None

    def receive(self, event: SequenceProgress) -> list[tuple[str, search_types.Token | None]]:
        """Take what a step brought; return deltas, each with its token; the last one may have none."""
        push = self.detokenizer.push
        deltas: list[tuple[str, search_types.Token | None]] = [(push(token.token_id), token) for token in event.tokens]
        self.num_tokens += len(deltas)
        if event.hypotheses:
            self.hypotheses = event.hypotheses
            rest = self.detokenizer.finish()
            if deltas:
                deltas[-1] = (deltas[-1][0] + rest, deltas[-1][1])
            elif rest:
                deltas.append((rest, None))
        for text, _ in deltas:
            self.text += text
        return deltas

    def hypothesis_text(self, rank: int) -> str:
        """The text of the hypothesis of that rank, or of the last one that there is; with what stands around it."""
        if rank == 0 or len(self.hypotheses) < 2:
            return f"{self.before}{self.text}{self.after}"
        detokenizer = self.leg.model.tokenizer.detokenizer()
        hypothesis = self.hypotheses[min(rank, len(self.hypotheses) - 1)]
        for token_id in self.prefix_ids:
            detokenizer.push(token_id)
        text = "".join(detokenizer.push(token_id) for token_id in hypothesis.token_ids) + detokenizer.finish()
        return f"{self.before}{text}{self.after}"

    def top_tokens(self, token: search_types.Token) -> list[TopToken]:
        names = self.leg.model.tokenizer.target_names
        return [
            TopToken(names.get(token_id, ""), token_id, round(probability, PROBABILITY_DIGITS))
            for token_id, probability in token.details.top_tokens
        ]

    def alignment(self, token: search_types.Token) -> list[float]:
        weights = token.details.alignment[: len(self.sequence.source_ids)]
        return [round(weight, PROBABILITY_DIGITS) for weight in weights]


@dataclass(slots=True, eq=False)
class Unit:
    """One text in one target language. `current` is the sentence whose turn it is."""

    text_index: int
    route: Route
    source_text: str
    sentences: list[Sentence]
    num_hypotheses: int
    with_tokens: bool
    is_streamed: bool
    current: int = 0

    def receive(self, sentence: Sentence, event: SequenceProgress) -> list[Token | Translation]:
        """Take what a step brought to a sentence on its last leg; return what has its turn now."""
        is_first = sentence.num_tokens == 0
        deltas = sentence.receive(event)
        if self.is_streamed or self.with_tokens:
            self._hold_all(sentence, deltas, is_first=is_first, is_last=bool(event.hypotheses))
        sentence.is_over = bool(event.hypotheses)
        return self._release()

    def replace(self, sentence: Sentence, by: list[Sentence]) -> list[Token | Translation]:
        """Put what a sentence became on its next leg in its place; it is over where it came to no words."""
        if not by:
            self._hold(sentence, f"{sentence.before}{sentence.text}{sentence.after}", None)
            sentence.is_over = True
            return self._release()
        place = self.sentences.index(sentence)
        self.sentences[place : place + 1] = by
        return []

    def pass_through(self) -> list[Token | Translation]:
        """The whole of a unit without sentences."""
        token = Token(self.text_index, self.route.target_lang, 0, self.source_text, None, None)
        return [token, self.translation()]

    def translation(self) -> Translation:
        hypotheses = self._hypotheses()
        return Translation(
            self.text_index,
            self.route.target_lang,
            self.route.pivot_lang,
            hypotheses[0].text,
            hypotheses[0].score,
            self._finish_reason(),
            hypotheses,
            [entry for sentence in self.sentences for entry in sentence.entries] if self.with_tokens else None,
            [_source_tokens(sentence) for sentence in self.sentences] if self.with_tokens else None,
        )

    def _hold_all(
        self,
        sentence: Sentence,
        deltas: list[tuple[str, search_types.Token | None]],
        *,
        is_first: bool,
        is_last: bool,
    ) -> None:
        if is_last and not deltas and (sentence.after or (is_first and sentence.before)):
            deltas.append(("", None))
        for place, (text, token) in enumerate(deltas):
            before = sentence.before if is_first and place == 0 else ""
            after = sentence.after if is_last and place == len(deltas) - 1 else ""
            self._hold(sentence, f"{before}{text}{after}", token)

    def _hold(self, sentence: Sentence, text: str, token: search_types.Token | None) -> None:
        target_lang = self.route.target_lang
        if token is None:
            sentence.held_tokens.append(Token(self.text_index, target_lang, sentence.index, text, None, None))
            return
        token_id, logprob = token.token_id, round(token.logprob, SCORE_DIGITS)
        top_tokens = sentence.top_tokens(token) if token.details.top_tokens else None
        alignment = sentence.alignment(token) if token.details.alignment else None
        sentence.held_tokens.append(
            Token(self.text_index, target_lang, sentence.index, text, token_id, logprob, top_tokens, alignment)
        )
        if self.with_tokens:
            name = sentence.leg.model.tokenizer.target_names.get(token_id, "")
            sentence.entries.append(TokenEntry(sentence.index, name, token_id, logprob, top_tokens, alignment))

    def _release(self) -> list[Token | Translation]:
        released: list[Token | Translation] = []
        while self.current < len(self.sentences):
            sentence = self.sentences[self.current]
            released += sentence.held_tokens
            sentence.held_tokens = []
            if not sentence.is_over:
                return released
            self.current += 1
        return [*released, self.translation()]

    def _hypotheses(self) -> list[Hypothesis]:
        """The alternatives of a text: each sentence's of the same rank, or its last. Scores are means by length."""
        if not self.sentences:
            return [Hypothesis(self.source_text, 0.0)]
        ranks = range(min(self.num_hypotheses, max(1, *(len(each.hypotheses) for each in self.sentences))))
        return [
            Hypothesis("".join(each.hypothesis_text(rank) for each in self.sentences), self._score(rank))
            for rank in ranks
        ]

    def _score(self, rank: int) -> float:
        ranked = [each.hypotheses[min(rank, len(each.hypotheses) - 1)] for each in self.sentences if each.hypotheses]
        num_tokens = sum(len(hypothesis.token_ids) for hypothesis in ranked)
        if num_tokens == 0:
            return 0.0
        weighted = sum(hypothesis.score * len(hypothesis.token_ids) for hypothesis in ranked)
        return round(weighted / num_tokens, SCORE_DIGITS)

    def _finish_reason(self) -> FinishReason:
        """A sentence that was cut short tells more about a text than those that were not."""
        reasons = {sentence.hypotheses[0].finish_reason for sentence in self.sentences if sentence.hypotheses}
        if "length" in reasons:
            return "length"
        return "repetition" if "repetition" in reasons else "stop"


def _source_tokens(sentence: Sentence) -> list[str]:
    names = sentence.leg.model.tokenizer.source_names
    return [names.get(token_id, "") for token_id in sentence.sequence.source_ids]
