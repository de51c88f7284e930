"""A text, cut into sentences and tokenized once for all its targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import msgspec

from service.text.segmentation import Segmented, SplitSentences, segment
from service.text.span import Span
from service.text.weaving import SourceInset
from service.text.wording import Wording
from service.translation.routing import ServedModel


class SourceSentence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`piece_ids` and the counts in `insets` are without special tokens, which may depend on the target."""

    piece_ids: tuple[int, ...]
    insets: tuple[SourceInset, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SourceText:
    """A text in one language, as one checkpoint reads it."""

    segmented: Segmented
    sentences: list[SourceSentence]

    @property
    def num_kept_characters(self) -> int:
        gaps = sum(len(gap.text) for gap in self.segmented.gaps)
        return gaps + sum(len(inset.text) for wording in self.segmented.wordings for inset in wording.insets)


class SourceReader:
    """Reads texts of one language for one checkpoint. Equal sentences are tokenized once."""

    def __init__(self, model: ServedModel, source_lang: str, *, split: SplitSentences, max_pieces: int) -> None:
        """`max_pieces` of a sentence, at most the model's `max_source_pieces`."""
        self._model = model
        self._source_lang = source_lang
        self._split = split
        self._max_pieces = max_pieces
        self._piece_ids = cache(self._tokenize)  # measured texts mostly become sentences
        self._read_sentence = cache(self._read)

    def read(
        self,
        text: str,
        *,
        known: Sequence[Span] = (),
        on_measured: Callable[[int], None] | None = None,
        on_sentence: Callable[[int], None] | None = None,
    ) -> SourceText:
        """Cut a text into sentences of at most `max_pieces`. Its `known` spans are no language.

        `on_measured` is called with the number of tokens of everything measured, including texts that are too long for
        a sentence, and `on_sentence` with that of every sentence. Either may raise an exception to stop the work.
        """
        sentences: list[SourceSentence] = []

        def count_tokens(piece: str) -> int:
            num_tokens = len(self._piece_ids(piece))
            if on_measured is not None:
                on_measured(num_tokens)
            return num_tokens

        def add(wording: Wording) -> None:
            sentences.append(self._read_sentence(wording))
            if on_sentence is not None:
                on_sentence(len(sentences[-1].piece_ids))

        segmented = segment(
            text,
            language=self._source_lang,
            split=self._split,
            max_tokens=self._max_pieces,
            count_tokens=count_tokens,
            on_sentence=add,
            lacking=self._model.tokenizer.alphabet.lacking,
            known=known,
        )
        return SourceText(segmented, sentences)

    def _read(self, wording: Wording) -> SourceSentence:
        words = wording.words
        insets = [SourceInset(each, len(self._tokenize(words[: each.offset].rstrip()))) for each in wording.insets]
        return SourceSentence(self._piece_ids(words), tuple(insets))

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._model.tokenizer.piece_ids(text))
