"""A request that leaves out a language gets the server's; what the server cannot have stops its start."""

from dataclasses import replace

import pytest

from model.tokenizers.base import SourceFrame
from service.errors import UnsupportedLanguageError
from service.translation.language_pair import LanguagePair, default_pair
from service.translation.routing import Catalogue
from tests.support.translator_bench import bundled_model

DETECTED = LanguagePair(None, None)
CATALOGUE = Catalogue([bundled_model()])


@pytest.mark.parametrize(
    ("default", "source", "target", "completed"),
    [
        (DETECTED, None, None, DETECTED),
        (DETECTED, "en", None, LanguagePair("en", None)),
        (DETECTED, "auto", "de", LanguagePair(None, "de")),
        (LanguagePair("en", "de"), None, None, LanguagePair("en", "de")),
        (LanguagePair("en", "de"), None, "fr", LanguagePair("en", "fr")),
        (LanguagePair("en", "de"), "auto", None, LanguagePair(None, "de")),
    ],
)
def test_what_a_request_names_wins_over_the_default(
    default: LanguagePair, source: str | None, target: str | None, completed: LanguagePair
) -> None:
    assert default.complete(source, target) == completed


def test_the_targets_are_those_of_a_request() -> None:
    assert DETECTED.target_langs == ()
    assert LanguagePair("en", "de").target_langs == ("de",)


def test_a_pair_is_read_from_the_settings() -> None:
    assert default_pair(CATALOGUE, source_lang="auto", target_lang="auto") == DETECTED
    assert default_pair(CATALOGUE, source_lang="auto", target_lang="ja") == LanguagePair(None, "ja")
    assert default_pair(CATALOGUE, source_lang="EN-us", target_lang="de") == LanguagePair("EN-us", "de")


def test_a_source_that_is_the_only_one_is_not_detected() -> None:
    model = bundled_model()
    single = replace(model, tokenizer=replace(model.tokenizer, frames={"de": {"en": SourceFrame()}}))
    assert default_pair(Catalogue([single]), source_lang="auto", target_lang="auto") == LanguagePair("de", None)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("zz", "auto", "source_lang 'zz' is not one of en, de, fr, es, ja"),
        ("zz", "de", "source_lang 'zz' is not one of en, de, fr, es, ja"),
        ("en", "zz", "target_lang 'zz' cannot be reached from 'en'"),
        ("de", "DE", "target_lang 'DE' is the source language"),
        ("auto", "zz", "target_lang 'zz' is not one of de, fr, es, ja, en"),
    ],
)
def test_a_language_that_is_not_served_is_named(source: str, target: str, message: str) -> None:
    with pytest.raises(UnsupportedLanguageError, match=message):
        default_pair(CATALOGUE, source_lang=source, target_lang=target)
