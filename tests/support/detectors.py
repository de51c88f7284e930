"""A detector of the bundled model's languages; one for all tests, since it takes half a second to load."""

from functools import cache

from service.text.language_detector import LanguageDetector

BUNDLED_LANGUAGES = ("en", "de", "fr", "es", "ja")


@cache
def language_detector() -> LanguageDetector:
    return LanguageDetector(BUNDLED_LANGUAGES)
