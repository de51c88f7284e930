"""A detected language is one of those that are allowed, and a text in none of them is known as such."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import UnsupportedLanguageError
from service.text.language_detector import MAX_CHARACTERS, DetectedLanguage, LanguageDetector

LANGUAGES = ("en", "de", "fr", "es", "ja")
DETECTOR = LanguageDetector(("de", "en", "fr", "es", "ja", "zh-Hans", "ast"))
"""The library does not know the last one."""


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("en", ["Can you explain why?", "The train leaves at seven.", "WHAT TIME IS IT?"]),
        ("de", ["Ich war halb am Schlafen.", "Das weiß ich nicht.", "Guten Morgen"]),
        ("fr", ["Je ne suis pas sourd.", "C'est mon oncle.", "Bonjour"]),
        ("es", ["Cien años se llama un siglo.", "¿Dónde está la casa?", "Muchas gracias"]),
        ("ja", ["犬を見かけました。", "東京", "犬"]),
    ],
)
def test_short_texts_are_detected(code: str, texts: list[str]) -> None:
    found = [DETECTOR.detect(text, among=LANGUAGES) for text in texts]
    assert [each.code for each in found] == [code] * len(texts)
    assert all(0.5 < each.confidence <= 1.0 for each in found)


@pytest.mark.parametrize("text", ["", " \n", "😀", "123 – 456", "привет", "שלום"])
def test_a_text_without_a_letter_of_the_languages_gets_the_fallback_without_confidence(text: str) -> None:
    assert DETECTOR.rank(text, among=LANGUAGES) == [DetectedLanguage("en", 0.0)]
    assert DETECTOR.detect(text, among=("de", "en")) == DetectedLanguage("en", 0.0)
    assert DETECTOR.detect(text, among=("fr", "de")) == DetectedLanguage("fr", 0.0)


@pytest.mark.parametrize("text", ["Tom", "No.", "Hello"])
def test_words_of_several_languages_are_taken_for_english_with_little_confidence(text: str) -> None:
    assert DETECTOR.detect(text, among=LANGUAGES).code == "en"
    assert DETECTOR.detect(text, among=LANGUAGES).confidence < 0.5
    assert {each.code for each in DETECTOR.rank(text, among=LANGUAGES)} == {"en", "de", "fr", "es"}


def test_only_the_languages_that_are_allowed_are_detected() -> None:
    assert DETECTOR.detect("Guten Morgen", among=("fr", "es")).code in ("fr", "es")
    assert DETECTOR.detect("你好，世界", among=LANGUAGES).code == "ja"
    assert DETECTOR.detect("你好，世界", among=(*LANGUAGES, "zh-Hans")).code == "zh-Hans"


def test_a_language_that_the_library_does_not_know_is_never_detected() -> None:
    assert [each.code for each in DETECTOR.rank("Guten Morgen", among=("de", "ast"))] == ["de"]
    with pytest.raises(UnsupportedLanguageError, match="source_lang is required: ast cannot be told from"):
        DETECTOR.detect("Guten Morgen", among=("ast",))


def test_the_end_of_a_long_text_does_not_count() -> None:
    start = "Das weiß ich nicht. " * (MAX_CHARACTERS // 20)
    assert DETECTOR.rank(start + "What time is it? " * 10_000, among=LANGUAGES) == DETECTOR.rank(start, among=LANGUAGES)


@given(st.text())
def test_confidences_of_any_text_add_up_to_one(text: str) -> None:
    ranked = DETECTOR.rank(text, among=LANGUAGES)
    assert sum(each.confidence for each in ranked) == pytest.approx(1.0, abs=0.001) or ranked[0].confidence == 0
    assert ranked == sorted(ranked, key=lambda each: -each.confidence)


def test_a_detector_is_loaded_by_its_first_use_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    detector = LanguageDetector(LANGUAGES)
    assert not detector.is_loaded
    assert detector.detect("Guten Morgen", among=LANGUAGES).code == "de"
    assert detector.is_loaded
