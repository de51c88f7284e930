"""Prepare a request for submission: languages, routes, sentences, tokens, limits.

Runs beside the event loop for all but small requests. Limits are checked with each sentence, so a request that
exceeds one is refused without the work on the rest. `cancel`, called from another thread, takes effect as soon.
"""

import time
from collections import Counter, defaultdict
from functools import cache

import msgspec

from service.engine.engine import Engine
from service.errors import TooLargeError, UnsupportedOptionError, shown
from service.text.language_detector import DetectedLanguage, LanguageDetector
from service.text.markup.marked_up import MarkedUpText
from service.text.markup.reading import MARKUP
from service.translation.answer_size import TRANSLATION_BYTES, AnswerSize
from service.translation.decode_specs import encode_prefix
from service.translation.passage import Passage
from service.translation.passages import Passages
from service.translation.prepared import PreparedTranslation
from service.translation.request import TranslationRequest
from service.translation.routing import Catalogue, Route, ServedModel
from service.translation.source_text import SourceReader, SourceText
from service.translation.target_text import TargetText

_Reading = tuple[ServedModel, str]
"""The checkpoint that reads a text, and the language of the text."""


class _Text(msgspec.Struct, frozen=True, eq=False, gc=False):
    """`ways` are the targets, under the requested codes, with the route to each."""

    text: str
    ways: list[tuple[str, Route]]
    detected: DetectedLanguage | None = None
    markup: MarkedUpText | None = None


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
    ) -> None:
        self._request = request
        self._catalogue = catalogue
        self._detector = detector
        self._engine = engine
        self._max_answer_bytes = max_answer_bytes
        self._max_tokens = engine.max_queue_tokens
        self._expected = AnswerSize(request, max_bytes=max_answer_bytes)
        self._num_tokens = 0
        self._models: dict[str, None] = {}
        self._began_at = time.monotonic()
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True

    def run(self) -> PreparedTranslation:
        """Prepare the request.

        Raises UnsupportedLanguageError, UnsupportedOptionError, TooLargeError and PreparationCancelledError.
        """
        request = self._request
        self._expected.add(TRANSLATION_BYTES * len(request.texts) * request.num_targets)
        texts = self._find_ways()
        self._check_options()
        passages = Passages(request, AnswerSize(request, max_bytes=self._max_answer_bytes))
        sources = [self._read(each, passages) for each in texts]
        target_texts = []
        for text_index, (text, source_by_reading) in enumerate(zip(texts, sources, strict=True)):
            for target_lang, route in text.ways:
                self._check_cancelled()
                if route.legs:
                    markup = text.markup
                    passage = passages.begin(source_by_reading[_reading(route)], route, prefix=request.prefix)
                else:
                    markup, passage = None, Passage([], after=text.text)
                target_texts.append(TargetText(text_index, target_lang, route, passage, text.detected, markup))
        decodes = self._engine.prepare(passages.take_new(), is_cacheable=request.is_cacheable)
        models = list(self._models) or [self._catalogue.select(request.model)[0].name]
        return PreparedTranslation(request, target_texts, models, passages, decodes, self._began_at)

    def _find_ways(self) -> list[_Text]:
        """Each text with its source language and its routes."""
        request = self._request
        language = MARKUP.get(request.format) if request.format in request.formats else None
        is_named = request.source_lang is not None
        among = () if is_named else self._catalogue.source_languages(model=request.model)
        ways_from = cache(self._ways)
        texts = []
        for text in request.texts:
            self._check_cancelled()
            markup = language.read(text) if language is not None else None
            words = text if markup is None else markup.words
            detected = None if is_named else self._detector.detect(words, among=among)
            source_lang = detected.code if detected is not None else request.source_lang
            assert source_lang is not None
            texts.append(_Text(text, ways_from(source_lang), detected, markup))
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

    def _read(self, text: _Text, passages: Passages) -> dict[_Reading, SourceText]:
        """The text as each checkpoint among the first legs reads it."""
        routes_by_reading: defaultdict[_Reading, list[Route]] = defaultdict(list)
        for _, route in text.ways:
            if route.legs:
                routes_by_reading[_reading(route)].append(route)
            else:
                self._expected.add(self._expected.kept_bytes(len(text.text)))
        return {
            reading: self._read_for(text, passages.reader(*reading), group)
            for reading, group in routes_by_reading.items()
        }

    def _read_for(self, text: _Text, reader: SourceReader, routes: list[Route]) -> SourceText:
        shapes = Counter(map(self._shape, routes))

        def on_measured(num_pieces: int) -> None:
            self._check_cancelled()
            self._check_tokens(self._num_tokens + num_pieces * len(routes))

        def on_sentence(num_pieces: int) -> None:
            for (num_specials, max_new_tokens), num_targets in shapes.items():
                num_tokens = num_pieces + num_specials
                self._num_tokens += num_tokens * num_targets
                expected = self._expected.expected_sentence_bytes(num_tokens, max_new_tokens=max_new_tokens)
                self._expected.add(expected * num_targets)
            self._check_tokens(self._num_tokens)

        glossary = self._request.glossary
        plain, known = (text.text, ()) if text.markup is None else (text.markup.text, text.markup.spans)
        source = reader.read(plain, known=known, glossary=glossary, on_measured=on_measured, on_sentence=on_sentence)
        num_kept = source.num_kept_characters + len(text.text) - len(plain)
        self._expected.add(self._expected.kept_bytes(num_kept) * len(routes))
        return source

    def _shape(self, route: Route) -> tuple[int, int]:
        """The cost of a sentence on this route: special tokens around its pieces, and the limit of its translation."""
        first, last = route.legs[0], route.legs[-1]
        frame = first.model.tokenizer.frames[first.source_lang][first.target_lang]
        max_new_tokens = self._request.max_new_tokens or last.model.max_new_tokens
        return len(frame.before) + len(frame.after), max_new_tokens

    def _check_tokens(self, num_tokens: int) -> None:
        if num_tokens > self._max_tokens:
            raise TooLargeError(
                f"the request has more than {self._max_tokens} source tokens over all targets; "
                f"the limit is {self._max_tokens}"
            )

    def _check_cancelled(self) -> None:
        if self._is_cancelled:
            raise PreparationCancelledError


def _reading(route: Route) -> _Reading:
    return route.legs[0].model, route.legs[0].source_lang
