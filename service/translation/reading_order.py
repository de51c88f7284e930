"""Read the sentences of one text in one language in reading order, whatever order they are decoded in.

Tokens are held back until it is their sentence's turn, so that the deltas of a text and target, joined in the order
sent, are its translation.
"""

from collections.abc import Iterator, Sequence
from itertools import count

from service.text.weaving import Woven
from service.translation.decoded_text import DecodedText
from service.translation.passage import Passage, Sentence
from service.translation.results import TokenEvent, Translation
from service.translation.target_text import TargetText
from service.translation.translation_builder import TranslationBuilder

Item = TokenEvent | DecodedText | Passage | Translation


class ReadingOrder:
    """Reads one `TargetText`. The time of a step depends on the text it reads, not on sentences that share a decode."""

    def __init__(self, target_text: TargetText, *, num_hypotheses: int, with_tokens: bool, is_streamed: bool) -> None:
        self._target_text = target_text
        self._is_streamed = is_streamed
        self._render = target_text.renderer()
        self._builder = TranslationBuilder(target_text, num_hypotheses=num_hypotheses, with_tokens=with_tokens)

    def read(self) -> Iterator[Item]:
        """Yield the tokens, if they are streamed, and finally the translation.

        It also yields the decode whose turn it is. If that is not over, nothing more can be read until it goes on; if
        it is, a sentence has been read to its end. It yields the passage if its next sentences have to be added first.
        """
        passage = self._target_text.passage
        for index in count():
            while not passage.is_whole and len(passage.sentences) <= index + 1:  # the last one is read with `after`
                yield passage
            if index >= len(passage.sentences):
                break
            is_last = index + 1 == len(passage.sentences)
            yield from self._read_sentence(index, passage.sentences[index], after=passage.after if is_last else "")
        if not passage.sentences:
            yield from self._keep(0, passage.after)
        yield self._builder.build()

    def _read_sentence(self, index: int, sentence: Sentence, *, after: str) -> Iterator[Item]:
        if sentence.relay is None:
            yield from self._read_last_leg(index, sentence.before, sentence, after)
            return
        while not sentence.decoded.is_over:
            yield sentence.decoded
        passage = sentence.relay.passage
        assert passage is not None, "the first leg has ended and the second has not begun"
        before, after = sentence.before, passage.after + after
        last = len(passage.sentences) - 1
        for place, part in enumerate(passage.sentences):
            yield from self._read_last_leg(index, before + part.before, part, after if place == last else "")
            before = ""
        if not passage.sentences:  # the first leg produced no words
            yield from self._keep(index, before + after)

    def _read_last_leg(self, index: int, before: str, sentence: Sentence, after: str) -> Iterator[Item]:
        """Read a sentence on its last leg.

        A sentence with insets is held back until it is over, because their places are not known earlier.
        """
        decoded, insets = sentence.decoded, sentence.insets
        woven: list[Woven] = []
        if insets is not None:
            while not decoded.is_over:
                yield decoded
            for rank in range(len(decoded.hypotheses)):
                woven.append(insets.weave_into(decoded, rank=rank))
                yield decoded
        if self._is_streamed:
            yield from self._stream(index, before, decoded, woven[0].deltas if woven else None, after)
        while not decoded.is_over:
            yield decoded
        if before:
            self._builder.keep(before)
        self._builder.add(index, decoded, woven)
        if after:
            self._builder.keep(after)
        yield decoded

    def _stream(
        self, index: int, before: str, decoded: DecodedText, woven: Sequence[str] | None, after: str
    ) -> Iterator[Item]:
        """Yield deltas with their tokens; surrounding text is added to the first and the last one.

        `woven` are the texts of the tokens of a decode that is over, with insets among them.
        """
        text_index, target_lang = self._target_text.text_index, self._target_text.target_lang
        unsaid, num_read = before, 0
        while True:
            for delta in decoded.deltas[num_read:]:
                text = unsaid + (delta.text if woven is None else woven[num_read] if num_read < len(woven) else "")
                num_read += 1
                unsaid = ""
                if decoded.is_over and num_read == len(decoded.deltas):
                    text, after = text + after, ""
                yield TokenEvent(
                    text_index,
                    target_lang,
                    index,
                    self._render(text),
                    delta.token_id,
                    delta.logprob,
                    delta.top_tokens,
                    delta.alignment,
                )
            if num_read < len(decoded.deltas):
                continue  # more arrived while the last ones were sent
            if decoded.is_over:
                break
            yield decoded
        if unsaid or after:
            yield TokenEvent(text_index, target_lang, index, self._render(unsaid + after), None, None)

    def _keep(self, index: int, text: str) -> Iterator[Item]:
        """Read text without a word."""
        self._builder.keep(text)
        if self._is_streamed and text:
            text_index, target_lang = self._target_text.text_index, self._target_text.target_lang
            yield TokenEvent(text_index, target_lang, index, self._render(text), None, None)
