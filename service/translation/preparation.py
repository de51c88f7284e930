"""Prepare a request for submission: languages, routes, sentences, tokens, limits.

Runs beside the event loop for all but small requests. Limits are checked with each sentence, so a request that
exceeds one is refused without the work on the rest. `cancelled`, set by another thread, takes effect as soon.

A stream that no limit can refuse any more is submitted after its first sentences; the others follow as its `rest`.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from threading import Event

import msgspec

from service.engine.engine import Engine
from service.errors import UnsupportedOptionError, shown
from service.text.language_detector import DetectedLanguage, LanguageDetector
from service.text.markup.marked_up import MarkedUpText
from service.text.markup.reading import MARKUP
from service.translation.answer_size import AnswerSize
from service.translation.decode_specs import encode_prefix
from service.translation.passage import Passage
from service.translation.passages import Passages
from service.translation.prepared import PreparedTranslation
from service.translation.request import TranslationRequest
from service.translation.request_size import RequestSize
from service.translation.rest import Part, Rest
from service.translation.routing import Catalogue, Route, ServedModel
from service.translation.source_text import SourcePart, SourceReader
from service.translation.target_text import TargetText

_Reading = tuple[ServedModel, str]
"""The checkpoint that reads a text, and the language of the text."""
PARTS_AT_ONCE = 4
"""The sentences, or ends of texts, that are handed over at once. Submitting them takes the event loop 0.3 ms."""


class _Text(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`ways` are the targets, under the requested codes, with the route to each."""

    text: str
    ways: list[tuple[str, Route]]
    detected: DetectedLanguage | None = None
    markup: MarkedUpText | None = None

    @property
    def plain(self) -> str:
        return self.text if self.markup is None else self.markup.text


class PreparationCancelledError(Exception):
    """The preparation was cancelled, because nobody waits for it any more."""


class Preparation:
    """The preparation of one request."""

    def __init__(
        self,
        request: TranslationRequest,
        catalogue: Catalogue,
        detector: LanguageDetector,
        engine: Engine,
        *,
        max_answer_bytes: int,
        cancelled: Event,
    ) -> None:
        self._request = request
        self._catalogue = catalogue
        self._detector = detector
        self._engine = engine
        self._size = RequestSize(request, max_tokens=engine.max_queue_tokens, max_answer_bytes=max_answer_bytes)
        self._passages = Passages(request, AnswerSize(request, max_bytes=max_answer_bytes))
        self._models: dict[str, None] = {}
        self._prepared: PreparedTranslation | None = None
        self._rest: Rest | None = None
        self._parts: list[Part] = []
        """Read, but neither in the passages nor handed over yet."""
        self._began_at = time.monotonic()
        self._cancelled = cancelled

    @property
    def prepared(self) -> PreparedTranslation:
        """The request, once it is prepared or its `rest` has begun."""
        assert self._prepared is not None, "nothing is prepared yet"
        return self._prepared

    def run(self, rest: Rest | None = None) -> None:
        """Prepare the request, or only its first sentences before `rest` begins.

        Before that, it raises UnsupportedLanguageError, UnsupportedOptionError, TooLargeError and
        PreparationCancelledError.
        """
        request = self._request
        texts = self._find_ways()
        self._check_options()
        target_texts = [_target_texts(index, text) for index, text in enumerate(texts)]
        models = list(self._models) or [self._catalogue.select(request.model)[0].name]
        in_order = list(chain.from_iterable(target_texts))
        self._prepared = PreparedTranslation(request, in_order, models, self._passages, self._began_at)
        self._rest = rest if rest is not None and self._cannot_be_refused(texts) else None
        try:
            for text, its_targets in zip(texts, target_texts, strict=True):
                self._read(text, its_targets)
            self._pass_on(is_last=True)
        except Exception as error:
            if self._prepared.rest is None:
                raise
            self._prepared.rest.fail(error)

    def _find_ways(self) -> list[_Text]:
        """Each text with its source language and its routes."""
        request = self._request
        language = MARKUP.get(request.format) if request.format in request.formats else None
        is_named = request.source_lang is not None
        among = () if is_named else self._catalogue.source_languages(model=request.model)
        ways_from: dict[str, list[tuple[str, Route]]] = {}
        texts = []
        for text in request.texts:
            self._check_cancelled()
            markup = language.read(text) if language is not None else None
            words = text if markup is None else markup.words
            detected = None if is_named else self._detector.detect(words, among=among)
            source_lang = detected.code if detected is not None else request.source_lang
            assert source_lang is not None
            ways = ways_from.get(source_lang) or ways_from.setdefault(source_lang, self._ways(source_lang))
            texts.append(_Text(text, ways, detected, markup))
        return texts

    def _ways(self, source_lang: str) -> list[tuple[str, Route]]:
        request = self._request
        targets = request.target_langs or (self._catalogue.first_target(source_lang, model=request.model),)
        routes = {target_lang: self._route(source_lang, target_lang) for target_lang in dict.fromkeys(targets)}
        # In a stream, only the code distinguishes one target's tokens from another's, so repeated targets are dropped.
        return list(routes.items()) if request.is_streamed else [(each, routes[each]) for each in targets]

    def _route(self, source_lang: str, target_lang: str) -> Route:
        self._check_cancelled()
        request = self._request
        route = self._catalogue.route(source_lang, target_lang, model=request.model)
        if not route.legs:
            return route
        self._models.update((leg.model.name, None) for leg in route.legs)
        leg = route.legs[-1]
        limit = leg.model.max_new_tokens
        if request.max_new_tokens is not None and request.max_new_tokens > limit:
            raise UnsupportedOptionError(f"max_new_tokens is {request.max_new_tokens}; the limit is {limit} a sentence")
        encode_prefix(request.prefix, leg)  # a second leg would be too late to refuse it
        return route

    def _check_options(self) -> None:
        """Check the options after the languages: APIs that report a single error report languages first."""
        request = self._request
        if request.format not in request.formats:
            raise UnsupportedOptionError(
                f"format {shown(request.format)} is not supported by this server yet",
                option="format",
                value=request.format,
            )

    def _cannot_be_refused(self, texts: Sequence[_Text]) -> bool:
        """Whether the request fits all limits, whatever its sentences are, and nothing waits in its way."""
        if self._engine.queue_tokens:
            return False
        everything = []
        for each in texts:
            written = each.text if each.markup is None else each.text + each.plain
            everything.append((written, [route for _, route in each.ways if route.legs]))
        return self._size.covers(everything)

    def _read(self, text: _Text, target_texts: Sequence[TargetText]) -> None:
        """Read the text as each checkpoint among the first legs does."""
        by_reading: defaultdict[_Reading, list[tuple[Passage, Route]]] = defaultdict(list)
        for each in target_texts:
            if each.route.legs:
                first = each.route.legs[0]
                by_reading[first.model, first.source_lang].append((each.passage, each.route))
            else:
                self._size.keep(len(text.text), num_targets=1)
        for (model, source_lang), passages in by_reading.items():
            self._read_for(text, self._passages.reader(model, source_lang), passages)

    def _read_for(self, text: _Text, reader: SourceReader, passages: list[tuple[Passage, Route]]) -> None:
        shapes = self._size.shapes(route for _, route in passages)

        def on_measured(num_pieces: int) -> None:
            self._check_cancelled()
            self._size.measure(num_pieces, shapes)

        def on_part(part: SourcePart) -> None:
            self._check_cancelled()
            self._size.add(part, shapes)
            self._parts.append(Part(part, passages))
            if len(self._parts) == PARTS_AT_ONCE:
                self._pass_on()

        known = () if text.markup is None else text.markup.spans
        self._size.keep(len(text.text) - len(text.plain), num_targets=shapes.total())
        reader.read(text.plain, known=known, glossary=self._request.glossary, on_measured=on_measured, on_part=on_part)

    def _pass_on(self, *, is_last: bool = False) -> None:
        """Add the parts to the passages; or hand them over, after the first ones of a request that has a rest."""
        parts, self._parts = self._parts, []
        if self.prepared.rest is not None:
            self.prepared.rest.add(parts)
            return
        for part in parts:
            self._passages.extend(part)
        if is_last or self._rest is not None:
            decodes = self._engine.prepare(self._passages.take_new(), is_cacheable=self._request.is_cacheable)
            self.prepared.decodes = decodes
        if not is_last and self._rest is not None:
            self.prepared.rest = self._rest
            self._rest.begin()

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise PreparationCancelledError


def _target_texts(text_index: int, text: _Text) -> list[TargetText]:
    """The text in each target language, without sentences yet."""
    target_texts = []
    for target_lang, route in text.ways:
        passage = Passage([]) if route.legs else Passage([], text.text, is_whole=True)
        markup = text.markup if route.legs else None
        target_texts.append(TargetText(text_index, target_lang, route, passage, text.detected, markup))
    return target_texts
