"""A text, cut into sentences and tokenized once for all its targets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import msgspec

from service.text.segmentation import Segmented, SplitSentences, segment
from service.translation.routing import ServedModel


class SourceSentence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`piece_ids` are without special tokens, which may depend on the target."""

    text: str
    piece_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceText:
    """A text in one language, as one checkpoint reads it."""

    segmented: Segmented
    sentences: list[SourceSentence]

    @property
    def num_kept_characters(self) -> int:
        return sum(len(gap.text) for gap in self.segmented.gaps)


class SourceReader:
    """Reads texts of one language for one checkpoint. Equal sentences are tokenized once."""

    def __init__(self, model: ServedModel, source_lang: str, *, split: SplitSentences, max_pieces: int) -> None:
        """`max_pieces` of a sentence, at most the model's `max_source_pieces`."""
        self._model = model
        self._source_lang = source_lang
        self._split = split
        self._max_pieces = max_pieces
        self._read_sentence = cache(self._tokenize)  # measured texts mostly become sentences

    def read(
        self,
        text: str,
        *,
        on_measured: Callable[[int], None] | None = None,
        on_sentence: Callable[[int], None] | None = None,
    ) -> SourceText:
        """Cut a text into sentences of at most `max_pieces`.

        `on_measured` is called with the number of tokens of everything measured, including texts that are too long for
        a sentence, and `on_sentence` with that of every sentence. Either may raise an exception to stop the work.
        """
        sentences: list[SourceSentence] = []

        def count_tokens(piece: str) -> int:
            num_tokens = len(self._read_sentence(piece).piece_ids)
            if on_measured is not None:
                on_measured(num_tokens)
            return num_tokens

        def add(sentence: str) -> None:
            sentences.append(self._read_sentence(sentence))
            if on_sentence is not None:
                on_sentence(len(sentences[-1].piece_ids))

        segmented = segment(
            text,
            language=self._source_lang,
            split=self._split,
            max_tokens=self._max_pieces,
            count_tokens=count_tokens,
            on_sentence=add,
        )
        return SourceText(segmented, sentences)

    def _tokenize(self, text: str) -> SourceSentence:
        return SourceSentence(text, tuple(self._model.tokenizer.piece_ids(text)))
