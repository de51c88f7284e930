"""Detect the language of a text among the languages that are served.

`py3langid` estimates the probabilities; its model comes with the package, and nothing is ever downloaded. In addition:

- Only the first `MAX_CHARACTERS` of a text are read, so the time for a text is bounded.
- A language is a candidate if the text has a letter of its script. A text without candidates, such as an emoji, a
  number or a text in a script that is not served, is in no language: it gets the fallback with a confidence of 0.
- English counts `ENGLISH_WEIGHT` times, because the library takes many English words (`Hello`) for another language's.
- A served language that the library does not know is never detected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import regex

from model.tokenizers.languages import match_code, script_of
from service.errors import UnsupportedLanguageError, shown

MAX_CHARACTERS = 2_000
CONFIDENCE_DIGITS = 4
ENGLISH = "en"
ENGLISH_WEIGHT = 1.3
"""With a larger weight, other languages would lose as many of their words as English would gain."""

_SCRIPTS = {
    "Jpan": r"[\p{Hira}\p{Kana}\p{Hani}]",
    "Kore": r"[\p{Hang}\p{Hani}]",
    "Hans": r"\p{Hani}",
    "Hant": r"\p{Hani}",
}
"""Patterns for scripts that are several scripts, or a variant of one, in Unicode."""


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """`confidence` is the probability among the candidates, 0 to 1, and 0 for a text without candidates."""

    code: str
    confidence: float


class LanguageDetector:
    """Detects the languages of `codes`. The first use takes about half a second, and 75 MiB that stay in use."""

    def __init__(self, codes: Sequence[str]) -> None:
        self._script_of = {code: script_of(code) for code in codes}
        self._letters = {script: _letters(script) for script in set(self._script_of.values())}

    @property
    def is_loaded(self) -> bool:
        return "_model" in self.__dict__

    def detect(self, text: str, *, among: Sequence[str]) -> DetectedLanguage:
        """The most probable language of `among`, which are some of the detector's. Raises UnsupportedLanguageError."""
        return self.rank(text, among=among)[0]

    def rank(self, text: str, *, among: Sequence[str]) -> list[DetectedLanguage]:
        """The candidates whose rounded confidence is not 0, most probable first; the fallback if there are none.

        Raises UnsupportedLanguageError if the library knows none of `among`.
        """
        known = self._model.codes.intersection(among)
        if not known:
            raise UnsupportedLanguageError(
                f"source_lang is required: {shown(', '.join(among))} cannot be told from other languages"
            )
        text = text[:MAX_CHARACTERS]
        scripts = {script for script, letters in self._letters.items() if letters.search(text)}
        candidates = [code for code in among if code in known and self._script_of[code] in scripts]
        if not candidates:
            return [DetectedLanguage(fallback(among), 0.0)]
        found = self._model.probabilities(text)
        weights = {code: found[code] * (ENGLISH_WEIGHT if code == ENGLISH else 1.0) for code in candidates}
        total = sum(weights.values())
        shares = {code: weight / total if total else 1 / len(candidates) for code, weight in weights.items()}
        ranked = [DetectedLanguage(code, round(share, CONFIDENCE_DIGITS)) for code, share in shares.items()]
        return sorted((each for each in ranked if each.confidence), key=lambda each: -each.confidence)

    @cached_property
    def _model(self) -> "_Model":
        return _Model(list(self._script_of))


class _Model:
    """The library, restricted to the languages among `codes` that it knows."""

    def __init__(self, codes: Sequence[str]) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # loaded only if needed, to save memory

        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        matched = {label: match_code(label, among=codes) for label in self._identifier.labels}
        self._code_of = {label: code for label, code in matched.items() if code is not None}
        self._identifier.set_languages(list(self._code_of))
        self.codes = frozenset(self._code_of.values())

    def probabilities(self, text: str) -> dict[str, float]:
        """Probabilities by code; several languages of the library may share a code."""
        found = dict.fromkeys(self.codes, 0.0)
        for label, probability in self._identifier.rank(text):
            found[self._code_of[label]] += probability
        return found


def fallback(codes: Sequence[str]) -> str:
    """The language assumed for a text in no language."""
    return match_code(ENGLISH, among=codes) or codes[0]


def _letters(script: str | None) -> "regex.Pattern[str]":
    """A pattern for a letter of the script, or of any script if that of a language is unknown."""
    if script is None:
        return regex.compile(r"\p{L}")
    return regex.compile(_SCRIPTS.get(script, rf"\p{{Script={script}}}"))
