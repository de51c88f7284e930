"""A text, cut into sentences that are tokenized once for all its targets."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from service.text.glossary import Glossary
from service.text.segmentation import Gap, SplitSentences, segment
from service.text.span import Kind, Span
from service.text.terms import SourceTerm
from service.text.weaving import SourceInset
from service.text.wording import Wording
from service.translation.routing import ServedModel


class SourceSentence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`piece_ids` and the places of `insets` and `terms` exclude special tokens, which may depend on the target."""

    piece_ids: tuple[int, ...]
    insets: tuple[SourceInset, ...] = ()
    terms: tuple[SourceTerm, ...] = ()

    @property
    def needs_alignment(self) -> bool:
        return bool(self.terms) or any(each.needs_attention for each in self.insets)

    @property
    def num_kept_characters(self) -> int:
        """The number of characters of the translation that no model writes."""
        return sum(len(each.inset.text) for each in self.insets) + sum(len(each.target) for each in self.terms)


class SourcePart(msgspec.Struct, frozen=True, gc=False):
    """A sentence of a text and the gap before it; at the end of the text only the gap, without a sentence."""

    gap: Gap
    sentence: SourceSentence | None

    @property
    def num_kept_characters(self) -> int:
        """The number of characters of the translation that no model writes."""
        return len(self.gap.text) + (self.sentence.num_kept_characters if self.sentence is not None else 0)


class SourceReader:
    """Reads texts of one language for one checkpoint. Equal sentences are tokenized once."""

    def __init__(self, model: ServedModel, source_lang: str, *, split: SplitSentences, max_pieces: int) -> None:
        """`max_pieces` is the limit of a sentence, at most the model's `max_source_pieces`."""
        self._model = model
        self._source_lang = source_lang
        self._split = split
        self._max_pieces = max_pieces
        # Plain dictionaries: a `functools.cache` takes as long to make as a short text to be read.
        self._known_ids: dict[str, tuple[int, ...]] = {}
        self._known_sentences: dict[tuple[Wording, Glossary | None], SourceSentence] = {}

    def read(
        self,
        text: str,
        *,
        known: Sequence[Span] = (),
        glossary: Glossary | None = None,
        on_measured: Callable[[int], None] | None = None,
        on_part: Callable[[SourcePart], None],
    ) -> None:
        """Cut a text into sentences of at most `max_pieces`. Its `known` spans are not language.

        `on_part` is called with each sentence and with the end, and `on_measured` with the number of tokens of
        everything measured, including texts that are too long for a sentence. Either may raise an exception to stop the
        work.
        """

        def count_tokens(piece: str) -> int:
            num_tokens = len(self._piece_ids(piece))
            if on_measured is not None:
                on_measured(num_tokens)
            return num_tokens

        def add(gap: Gap, wording: Wording) -> None:
            on_part(SourcePart(gap, self._read_sentence(wording, glossary)))

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
        on_part(SourcePart(segmented.gaps[-1], None))

    def _piece_ids(self, text: str) -> tuple[int, ...]:
        """Measured texts mostly become sentences."""
        known = self._known_ids.get(text)
        return known if known is not None else self._known_ids.setdefault(text, self._tokenize(text))

    def _read_sentence(self, wording: Wording, glossary: Glossary | None) -> SourceSentence:
        key = (wording, glossary)
        return self._known_sentences.get(key) or self._known_sentences.setdefault(key, self._read(wording, glossary))

    def _read(self, wording: Wording, glossary: Glossary | None) -> SourceSentence:
        words = wording.words

        def count_before(place: int) -> int:
            return len(self._tokenize(words[:place].rstrip()))

        piece_ids = self._piece_ids(words)
        insets: list[SourceInset] = []
        terms: list[SourceTerm] = []
        for inset in wording.insets:
            start = end = count_before(inset.offset)
            if inset.kind is Kind.WORD:
                end = max(start, min(count_before(inset.offset + 1), len(piece_ids)))
            target = glossary.target_of(inset.text) if glossary is not None else None
            if target is None:
                insets.append(SourceInset(inset, start, end - start))
            elif end > start:
                terms.append(SourceTerm(start, end, target))
            else:
                insets.append(SourceInset(replace(inset, text=target), start))
        for found in glossary.find(words) if glossary is not None else ():
            start = min(count_before(found.start), len(piece_ids) - 1)
            terms.append(SourceTerm(start, max(start + 1, count_before(found.end)), found.target))
        return SourceSentence(piece_ids, tuple(insets), tuple(terms))

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._model.tokenizer.piece_ids(text))
