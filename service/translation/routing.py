"""The served checkpoints, and the route of a language pair through them.

A pair goes to the first checkpoint that was trained in it. A pair without one goes through a third language, a
checkpoint's own `pivot_lang` or English, if there are checkpoints for both halves. A pair of one language with itself
goes through no checkpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from model.checkpoint.config import Checkpoint
from model.tokenizers.languages import match_code
from model.tokenizers.loading import Tokenizer
from service.errors import UnsupportedLanguageError, UnsupportedOptionError, quoted

DEFAULT_PIVOT = "en"
MAX_KNOWN_ROUTES = 4096
EXPANSION = 1.75
"""Target tokens per source token; all but one in a hundred long sentences stay below this."""
MIN_FITTING_PIECES = 32
"""Shorter pieces have too little context to be translated by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """One checkpoint. `max_source_tokens` includes special tokens, `max_source_pieces` does not."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    max_source_tokens: int
    max_source_pieces: int
    max_new_tokens: int

    @property
    def name(self) -> str:
        return self.checkpoint.name

    @property
    def num_fitting_pieces(self) -> int:
        """The most pieces of a source whose translation is expected to fit into `max_new_tokens`."""
        num_fitting = max(MIN_FITTING_PIECES, int(self.max_new_tokens / EXPANSION))
        return min(num_fitting, self.max_source_pieces)


@dataclass(frozen=True, slots=True)
class Leg:
    """A language pair of one checkpoint, in that checkpoint's codes."""

    model: ServedModel
    source_lang: str
    target_lang: str


@dataclass(frozen=True, slots=True)
class Route:
    """One leg, two through `pivot_lang`, or none from a language into itself, which leaves a text unchanged."""

    legs: tuple[Leg, ...]

    @property
    def target_lang(self) -> str:
        return self.legs[-1].target_lang

    @property
    def pivot_lang(self) -> str | None:
        return self.legs[0].target_lang if len(self.legs) > 1 else None


class Catalogue:
    def __init__(self, models: list[ServedModel]) -> None:
        self.models = models
        self._known_route = lru_cache(MAX_KNOWN_ROUTES)(self._find_route)
        self._known_target = lru_cache(MAX_KNOWN_ROUTES)(self._find_first_target)

    def languages(self) -> dict[str, list[str]]:
        """Every source language with all its targets, direct ones first."""
        direct: dict[str, dict[str, None]] = {}
        for model in self.models:
            for source in model.tokenizer.source_languages:
                direct.setdefault(source, {}).update(dict.fromkeys(model.tokenizer.targets_of(source)))
        pivots = _pivots(self.models)
        ways = {
            source: [*targets, *(each for pivot in pivots if pivot in targets for each in direct.get(pivot, ()))]
            for source, targets in direct.items()
        }
        return {source: [each for each in dict.fromkeys(targets) if each != source] for source, targets in ways.items()}

    def select(self, name: str | None) -> list[ServedModel]:
        """The checkpoints that a request may go through. Raises UnsupportedOptionError for an unknown name."""
        chosen = [model for model in self.models if name is None or model.name == name]
        if not chosen:
            names = ", ".join(model.name for model in self.models)
            raise UnsupportedOptionError(f"model {quoted(str(name))} is not served; there are {names}")
        return chosen

    def route(self, source_lang: str, target_lang: str, *, model: str | None = None) -> Route:
        """The route of a pair. Raises UnsupportedLanguageError, naming the wrong code, or the errors of `select`."""
        return self._known_route(source_lang, target_lang, model)

    def source_languages(self, *, model: str | None = None) -> list[str]:
        """All source languages, in the order of the checkpoints. Raises the errors of `select`."""
        return list(dict.fromkeys(code for each in self.select(model) for code in each.tokenizer.source_languages))

    def first_target(self, source_lang: str, *, model: str | None = None) -> str:
        """The first target of this source language. Raises the errors of `route`."""
        return self._known_target(source_lang, model)

    def _find_route(self, source_lang: str, target_lang: str, model: str | None) -> Route:
        models = self.select(model)
        direct = _first_leg(models, source_lang, target_lang)
        if direct is not None:
            return Route((direct,))
        source = self._match_source(source_lang, model)
        if match_code(target_lang, among=[source]) is not None:
            return Route(())
        for pivot in _pivots(models):
            first = _first_leg(models, source, pivot)
            second = _first_leg(models, pivot, target_lang)
            if first is not None and second is not None:
                return Route((first, second))
        reached = ", ".join(Catalogue(models).languages()[source])
        raise UnsupportedLanguageError(
            f"target_lang {quoted(target_lang)} cannot be reached from {source!r}, which is translated into {reached}",
            field="target_lang",
            code=target_lang,
        )

    def _find_first_target(self, source_lang: str, model: str | None) -> str:
        source = self._match_source(source_lang, model)
        targets = Catalogue(self.select(model)).languages()[source]
        if not targets:
            raise UnsupportedLanguageError(f"target_lang is required: {source!r} is translated into no language")
        return targets[0]

    def _match_source(self, source_lang: str, model: str | None) -> str:
        sources = self.source_languages(model=model)
        source = match_code(source_lang, among=sources)
        if source is None:
            raise UnsupportedLanguageError(
                f"source_lang {quoted(source_lang)} is not one of {', '.join(sources)}",
                field="source_lang",
                code=source_lang,
            )
        return source


def _pivots(models: Iterable[ServedModel]) -> list[str]:
    own = [model.tokenizer.pivot_lang for model in models if model.tokenizer.pivot_lang is not None]
    return list(dict.fromkeys([*own, DEFAULT_PIVOT]))


def _first_leg(models: Iterable[ServedModel], source_lang: str, target_lang: str) -> Leg | None:
    for model in models:
        source = model.tokenizer.match(source_lang, among=model.tokenizer.source_languages)
        if source is None:
            continue
        target = model.tokenizer.match(target_lang, among=model.tokenizer.targets_of(source))
        if target is not None:
            return Leg(model, source, target)
    return None
