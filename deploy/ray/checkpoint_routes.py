"""Choose the checkpoint of a request by its languages or by name, before any checkpoint is loaded."""

from collections.abc import Iterator
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.tokenizers.languages import match_code
from service.app import BUNDLED_NAME
from service.errors import UnsupportedLanguageError, UnsupportedOptionError, quoted, shown

MAX_KNOWN_ROUTES = 4096


class ListedCheckpoint(BaseModel):
    """A value of KAKEHASHI_MODEL, which may be several references with commas, and the pairs that it serves.

    The pairs are `pairs`, or all of `sources` into all of `targets`. With `{source}` and `{target}` in `model`, every
    pair has its own checkpoint, as for OPUS-MT: `Helsinki-NLP/opus-mt-{source}-{target}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(pattern=r"[^\s,]")
    pairs: tuple[tuple[str, str], ...] = ()
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_pairs(self) -> "ListedCheckpoint":
        if bool(self.pairs) == bool(self.sources and self.targets):
            raise ValueError(f"{self.model}: set either pairs, or sources and targets")
        return self

    def routes(self) -> Iterator[tuple[str, str, str]]:
        """Source, target and model of every pair."""
        crossed = ((source, target) for source in self.sources for target in self.targets if source != target)
        for source, target in self.pairs or crossed:
            yield source, target, self.model.replace("{source}", source).replace("{target}", target)


BUNDLED_LANGUAGES = ("en", "de", "fr", "es", "ja")
BUNDLED = ListedCheckpoint(model=BUNDLED_NAME, sources=BUNDLED_LANGUAGES, targets=BUNDLED_LANGUAGES)


class CheckpointRoutes:
    """A pair goes to the first checkpoint that lists it."""

    def __init__(self, checkpoints: list[ListedCheckpoint]) -> None:
        self._models: dict[str, dict[str, dict[str, None]]] = {}
        """Source -> target -> models, in order."""
        self._sources: dict[str, dict[str, None]] = {}
        """Model -> sources."""
        for source, target, model in (route for each in checkpoints for route in each.routes()):
            self._models.setdefault(source, {}).setdefault(target, {})[model] = None
            self._sources.setdefault(model, {})[source] = None
        self._named = {name.strip(): model for model in reversed(self._sources) for name in [model, *model.split(",")]}
        self.find = lru_cache(MAX_KNOWN_ROUTES)(self._find)

    @property
    def default(self) -> str:
        """The model for requests that name no languages."""
        return next(iter(self._sources))

    def models(self) -> dict[str, list[str]]:
        """Every model with its source languages."""
        return {model: list(sources) for model, sources in self._sources.items()}

    def languages(self) -> dict[str, list[str]]:
        """Every source language with its targets."""
        return {source: list(targets) for source, targets in self._models.items()}

    def _find(self, source_lang: str | None, target_langs: tuple[str, ...], model: str | None) -> str:
        """Raises UnsupportedOptionError or UnsupportedLanguageError, which name the wrong value."""
        if model is not None:
            if model not in self._named:
                raise UnsupportedOptionError(f"model {quoted(model)} is not served; GET /v1/models lists what is")
            return self._named[model]
        if len(self._sources) == 1:
            return self.default  # it refuses what it does not support
        if source_lang is None:
            raise UnsupportedOptionError("source_lang is required: it chooses the checkpoint")
        source = match_code(source_lang, among=self._models)
        if source is None:
            raise UnsupportedLanguageError(f"source_lang {quoted(source_lang)} is not one of {', '.join(self._models)}")
        offered = [self._models_for(source, target) for target in target_langs]
        shared = [each for each in offered[0] if all(each in others for others in offered)]
        if not shared:
            raise UnsupportedOptionError(
                f"no checkpoint has all of {shown(', '.join(target_langs))} from {source!r}: "
                "ask for one target_lang at a time"
            )
        return shared[0]

    def _models_for(self, source: str, target_lang: str) -> dict[str, None]:
        targets = self._models[source]
        target = match_code(target_lang, among=targets)
        if target is None:
            raise UnsupportedLanguageError(
                f"target_lang {quoted(target_lang)} cannot be reached from {source!r}, "
                f"which is translated into {', '.join(targets)}"
            )
        return targets[target]
