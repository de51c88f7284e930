"""Translations in LibreTranslate's shape: single values for one text, lists for a list."""

from service.api.libretranslate.schemas import LibreDetectedLanguage, LibreTranslateAnswer, LibreTranslateBody
from service.translation.results import Translation


def translate_answer(
    body: LibreTranslateBody, translations: list[Translation], *, as_lists: bool
) -> LibreTranslateAnswer:
    texts = [each.text for each in translations]
    detected = [_detected(each) for each in translations] if body.is_detected else None
    alternatives = [_alternatives(each) for each in translations] if body.num_alternatives else None
    if as_lists:
        return LibreTranslateAnswer(texts, detected, alternatives)
    return LibreTranslateAnswer(texts[0], detected and detected[0], alternatives and alternatives[0])


def detected_language(code: str, confidence: float) -> LibreDetectedLanguage:
    """`confidence` is from 0 to 1."""
    return LibreDetectedLanguage(round(confidence * 100, 1), code)


def _detected(translation: Translation) -> LibreDetectedLanguage:
    assert translation.detected_source_lang is not None
    return detected_language(translation.detected_source_lang, translation.detected_confidence or 0.0)


def _alternatives(translation: Translation) -> list[str]:
    """The other hypotheses, without duplicates."""
    texts = dict.fromkeys(each.text for each in translation.hypotheses)
    return [text for text in texts if text != translation.text]
