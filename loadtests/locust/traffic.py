"""The texts of the load test and their languages: seeded, with a mix of lengths and with repeats.

A text is a word or a log-normal number of sentences: half are up to two sentences, one in 40 is eight or more. A share
of the texts repeat earlier ones, early ones more often (Zipf's law), so that an encoder cache finds about that share of
its look-ups. The n-th text of a language depends on the seed only, not on who sends it or when.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from loadtests.locust.phrases import Phrases

MEDIAN_SENTENCES = 1.6
SPREAD = 0.8
MAX_SENTENCES = 40
SENTENCES_PER_PARAGRAPH = 4
MAX_POPULAR = 1000
"""Later texts of a language are never repeated."""
HUB = "en"
PIVOT_WEIGHT = 0.075
"""The weight of a pair without English; pairs with English weigh 1. For five languages, a tenth of all requests."""
MIN_TEXTS, MAX_TEXTS = 2, 8


@dataclass(frozen=True, slots=True)
class Question:
    """The contents of one request."""

    text: str | list[str]
    source_lang: str
    target_lang: str | list[str]

    @property
    def num_translations(self) -> int:
        num_texts = 1 if isinstance(self.text, str) else len(self.text)
        return num_texts * (1 if isinstance(self.target_lang, str) else len(self.target_lang))

    def body(self, *, stream: bool) -> dict[str, object]:
        return {
            "text": self.text,
            "source_lang": self.source_lang,
            "target_lang": self.target_lang,
            "stream": stream,
        }


class Texts:
    """The texts of one language, one after the other."""

    def __init__(self, phrases: Phrases, *, random: Random, repeats: float) -> None:
        self._phrases = phrases
        self._random = random
        self._repeats = repeats
        self._popular: list[str] = []
        self._unused_words = random.sample(phrases.words, len(phrases.words))

    def next(self) -> str:
        if self._popular and self._random.random() < self._repeats:
            # A rank whose logarithm is uniform has a probability that falls as 1 / rank.
            return self._popular[int((len(self._popular) + 1) ** self._random.random()) - 1]
        text = self._fresh()
        if len(self._popular) < MAX_POPULAR:
            self._popular.append(text)
        return text

    def _fresh(self) -> str:
        num_sentences = min(round(self._random.lognormvariate(math.log(MEDIAN_SENTENCES), SPREAD)), MAX_SENTENCES)
        if num_sentences == 0:
            return self._unused_words.pop() if self._unused_words else self._phrases.counted_things(self._random)
        sentences = [self._phrases.sentence(self._random) for _ in range(num_sentences)]
        return "\n\n".join(
            self._phrases.between_sentences.join(sentences[start : start + SENTENCES_PER_PARAGRAPH])
            for start in range(0, num_sentences, SENTENCES_PER_PARAGRAPH)
        )


class Traffic:
    """Raises ValueError for fewer than two languages, an unknown language, or a share outside 0 to 1."""

    def __init__(self, phrases: Mapping[str, Phrases], languages: list[str], *, seed: str, repeats: float) -> None:
        if unknown := [language for language in languages if language not in phrases]:
            raise ValueError(f"no texts in {', '.join(unknown)}, only in {', '.join(phrases)}")
        if len(set(languages)) < 2:
            raise ValueError("at least two languages are needed")
        if not 0 <= repeats <= 1:
            raise ValueError(f"the share of repeats is {repeats:g}, not between 0 and 1")
        self._languages = languages
        self._random = Random(f"{seed}/requests")
        self._texts = {
            language: Texts(phrases[language], random=Random(f"{seed}/{language}"), repeats=repeats)
            for language in languages
        }
        self._pairs = [(source, target) for source in languages for target in languages if source != target]
        self._weights = [1.0 if HUB in pair else PIVOT_WEIGHT for pair in self._pairs]

    def one_text(self) -> Question:
        source, target = self._pair()
        return Question(self._texts[source].next(), source, target)

    def several_texts(self) -> Question:
        """A list of texts into several languages, if there are enough."""
        source, target = self._pair()
        others = [language for language in self._languages if language not in (source, target)]
        num_others = self._random.randint(min(1, len(others)), len(others))
        targets = [target, *self._random.sample(others, num_others)]
        num_texts = self._random.randint(MIN_TEXTS, MAX_TEXTS)
        return Question([self._texts[source].next() for _ in range(num_texts)], source, targets)

    def _pair(self) -> tuple[str, str]:
        (pair,) = self._random.choices(self._pairs, self._weights)
        return pair
