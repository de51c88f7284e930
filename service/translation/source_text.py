"""A text, cut into sentences and tokenized once for all its targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import msgspec

from service.text.glossary import Glossary
from service.text.segmentation import Segmented, SplitSentences, segment
from service.text.span import Span
from service.text.terms import SourceTerm
from service.text.weaving import SourceInset
from service.text.wording import Inset, Wording
from service.translation.routing import ServedModel


class SourceSentence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`piece_ids` and the places of `insets` and `terms` exclude special tokens, which may depend on the target."""

    piece_ids: tuple[int, ...]
    insets: tuple[SourceInset, ...] = ()
    terms: tuple[SourceTerm, ...] = ()

    @property
    def needs_alignment(self) -> bool:
        return bool(self.terms) or any(each.needs_attention for each in self.insets)


@dataclass(frozen=True, slots=True, eq=False)
class SourceText:
    """A text in one language, as one checkpoint reads it."""

    segmented: Segmented
    sentences: list[SourceSentence]

    @property
    def num_kept_characters(self) -> int:
        """The number of characters of the translation that no model writes."""
        gaps = sum(len(gap.text) for gap in self.segmented.gaps)
        insets = sum(len(each.inset.text) for sentence in self.sentences for each in sentence.insets)
        return gaps + insets + sum(len(each.target) for sentence in self.sentences for each in sentence.terms)


class SourceReader:
    """Reads texts of one language for one checkpoint. Equal sentences are tokenized once."""

    def __init__(self, model: ServedModel, source_lang: str, *, split: SplitSentences, max_pieces: int) -> None:
        """`max_pieces` is the limit of a sentence, at most the model's `max_source_pieces`."""
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
        glossary: Glossary | None = None,
        on_measured: Callable[[int], None] | None = None,
        on_sentence: Callable[[int], None] | None = None,
    ) -> SourceText:
        """Cut a text into sentences of at most `max_pieces`. Its `known` spans are not language.

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
            sentences.append(self._read_sentence(wording, glossary))
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

    def _read(self, wording: Wording, glossary: Glossary | None) -> SourceSentence:
        words = wording.words

        def count_before(place: int) -> int:
            return len(self._tokenize(words[:place].rstrip()))

        insets = [SourceInset(_in(glossary, each), count_before(each.offset)) for each in wording.insets]
        piece_ids = self._piece_ids(words)
        terms: list[SourceTerm] = []
        for found in glossary.find(words) if glossary is not None else ():
            start = min(count_before(found.start), len(piece_ids) - 1)
            terms.append(SourceTerm(start, max(start + 1, count_before(found.end)), found.target))
        return SourceSentence(piece_ids, tuple(insets), tuple(terms))

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._model.tokenizer.piece_ids(text))


def _in(glossary: Glossary | None, inset: Inset) -> Inset:
    """Replace the text of an inset that is a glossary term with the term's translation."""
    target = glossary.target_of(inset.text) if glossary is not None else None
    return inset if target is None else replace(inset, text=target)
