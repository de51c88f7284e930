"""The sentences of one text in one language, decoded in any order and told in reading order.

Tokens of a sentence whose turn has not come are held back, so that the deltas of one text and target, joined in the
order sent, are its translation.
"""

from dataclasses import dataclass, field

from model.detokenizer import IncrementalDetokenizer
from service.engine.types import FinishReason, Sequence, TokenEvent
from service.models import Leg, Route
from service.results import Hypothesis, Token, Translation

SCORE_DIGITS = 4


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
    text: str = ""
    held_tokens: list[Token] = field(default_factory=list)
    num_tokens: int = 0
    sum_logprobs: float = 0.0
    finish_reason: FinishReason | None = None
    last_token_at: float = 0.0

    def receive(self, event: TokenEvent) -> str:
        """Take a token; return the text that is certain now."""
        text = self.detokenizer.push(event.token_id)
        if event.finish_reason is not None:
            text += self.detokenizer.finish()
        self.text += text
        self.num_tokens += 1
        self.sum_logprobs += event.logprob
        self.finish_reason = event.finish_reason
        return text


@dataclass(slots=True, eq=False)
class Unit:
    """One text in one target language. `current` is the sentence whose turn it is."""

    text_index: int
    route: Route
    source_text: str
    sentences: list[Sentence]
    length_penalty: float
    current: int = 0
    deltas: list[str] = field(default_factory=list)

    def receive(self, sentence: Sentence, event: TokenEvent) -> list[Token | Translation]:
        """Take a token of a sentence on its last leg; return what has its turn now."""
        is_first = sentence.num_tokens == 0
        text = sentence.receive(event)
        text = f"{sentence.before if is_first else ''}{text}{sentence.after if sentence.finish_reason else ''}"
        sentence.held_tokens.append(self._token(sentence.index, text, event.token_id, event.logprob))
        return self._release()

    def replace(self, sentence: Sentence, by: list[Sentence]) -> list[Token | Translation]:
        """Put what a sentence became on its next leg in its place; nothing, where it came to no words."""
        if not by:
            text = f"{sentence.before}{sentence.text}{sentence.after}"
            sentence.held_tokens.append(self._token(sentence.index, text, None, None))
            sentence.is_last_leg = True
            return self._release()
        place = self.sentences.index(sentence)
        self.sentences[place : place + 1] = by
        return []

    def pass_through(self) -> list[Token | Translation]:
        """The whole of a unit without sentences."""
        token = self._token(0, self.source_text, None, None)
        self.deltas.append(token.text)
        return [token, self.translation()]

    def translation(self) -> Translation:
        text = "".join(self.deltas)
        score = round(self._score(), SCORE_DIGITS)
        return Translation(
            self.text_index,
            self.route.target_lang,
            self.route.pivot_lang,
            text,
            score,
            self._finish_reason(),
            [Hypothesis(text, score)],
        )

    def _token(self, sentence_index: int, text: str, token_id: int | None, logprob: float | None) -> Token:
        rounded = None if logprob is None else round(logprob, SCORE_DIGITS)
        return Token(self.text_index, self.route.target_lang, sentence_index, text, token_id, rounded)

    def _release(self) -> list[Token | Translation]:
        released: list[Token | Translation] = []
        while self.current < len(self.sentences):
            sentence = self.sentences[self.current]
            self.deltas += [token.text for token in sentence.held_tokens]
            released += sentence.held_tokens
            sentence.held_tokens = []
            if sentence.finish_reason is None or not sentence.is_last_leg:
                return released
            self.current += 1
        return [*released, self.translation()]

    def _score(self) -> float:
        """Of a sentence: Σ log P / length^penalty, as in beam search; of a text: their mean, weighted by length."""
        num_tokens = sum(sentence.num_tokens for sentence in self.sentences)
        if num_tokens == 0:
            return 0.0
        weighted = 0.0
        for sentence in self.sentences:
            weighted += sentence.sum_logprobs * float(sentence.num_tokens) ** (1.0 - self.length_penalty)
        return weighted / num_tokens

    def _finish_reason(self) -> FinishReason:
        """A sentence that was cut short tells more about a text than those that were not."""
        reasons = {sentence.finish_reason for sentence in self.sentences}
        if "length" in reasons:
            return "length"
        return "repetition" if "repetition" in reasons else "stop"
