"""The languages of a request that names both, one or neither, and the server's defaults for missing ones."""

from dataclasses import dataclass

from model.tokenizers.languages import match_code
from service.errors import UnsupportedLanguageError, quoted
from service.translation.routing import Catalogue

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class LanguagePair:
    """A source language of None is detected; a target of None is the first language that is not the source."""

    source_lang: str | None
    target_lang: str | None

    @property
    def target_langs(self) -> tuple[str, ...]:
        """The target as the `target_langs` of a `TranslationRequest`."""
        return () if self.target_lang is None else (self.target_lang,)

    def complete(self, source_lang: str | None, target_lang: str | None) -> "LanguagePair":
        """The pair of a request, with this pair's languages for missing ones; the source `auto` is detected."""
        source_lang = source_lang or self.source_lang or AUTO
        return LanguagePair(None if source_lang == AUTO else source_lang, target_lang or self.target_lang)


def default_pair(catalogue: Catalogue, *, source_lang: str, target_lang: str) -> LanguagePair:
    """The pair of the settings, either of which may be `auto`. A source is not detected if it is the only one.

    Raises UnsupportedLanguageError.
    """
    sources = catalogue.source_languages()
    source = sources[0] if source_lang == AUTO and len(sources) == 1 else source_lang
    target = None if target_lang == AUTO else target_lang
    if source != AUTO:
        _check_pair(catalogue, source, target or catalogue.first_target(source))
    elif target is not None:
        _check_target(catalogue, target)
    return LanguagePair(None if source == AUTO else source, target)


def _check_pair(catalogue: Catalogue, source_lang: str, target_lang: str) -> None:
    if not catalogue.route(source_lang, target_lang).legs:
        raise UnsupportedLanguageError(f"target_lang {quoted(target_lang)} is the source language")


def _check_target(catalogue: Catalogue, target_lang: str) -> None:
    targets = dict.fromkeys(target for reached in catalogue.languages().values() for target in reached)
    if match_code(target_lang, among=targets) is None:
        raise UnsupportedLanguageError(f"target_lang {quoted(target_lang)} is not one of {', '.join(targets)}")
