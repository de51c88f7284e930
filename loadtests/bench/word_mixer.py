"""Texts that are new to a server, with an exact number of tokens.

A text is words of real sentences in random order, without punctuation that could end a sentence. So it is one sentence
and, if the model has enough positions, one sequence.
"""

import string
from bisect import bisect_right
from collections.abc import Iterable
from random import Random

from loadtests.bench.source_lines import SourceLine
from model.tokenizers.loading import Tokenizer

LANGUAGE = "en"
MAX_TRIES = 1_000


class WordMixer:
    """Never returns a text twice. The texts depend on the words, the seed and the order of calls only."""

    def __init__(self, tokenizer: Tokenizer, sentences: Iterable[SourceLine], *, seed: int) -> None:
        """Uses the words of the English sentences; some of them must be one token."""
        runs = {run for each in sentences if each.source_lang == LANGUAGE for run in each.text.split()}
        words = {word for run in runs if (word := run.strip(string.punctuation)).isalpha()}
        self._words = sorted(words, key=lambda word: (tokenizer.count_tokens(word), word))
        self._lengths = [tokenizer.count_tokens(word) for word in self._words]
        self._tokenizer = tokenizer
        self._random = Random(seed)
        self._given: set[str] = set()

    def mix(self, num_tokens: int, *, target_lang: str) -> SourceLine:
        """An English source of `num_tokens`, including special tokens.

        Raises ValueError if it finds no new one.
        """
        num_pieces = num_tokens - self._num_tokens("", target_lang)
        for _ in range(MAX_TRIES if num_pieces > 0 else 0):
            text = " ".join(self._draw(num_pieces))
            # Words alone may have more or fewer pieces than side by side.
            if text not in self._given and self._num_tokens(text, target_lang) == num_tokens:
                self._given.add(text)
                return SourceLine(LANGUAGE, target_lang, text)
        raise ValueError(f"found no further text of {num_tokens} tokens")

    def like(self, sentence: SourceLine) -> SourceLine:
        """A new sentence of the same length, into the same language."""
        return self.mix(self._num_tokens(sentence.text, sentence.target_lang), target_lang=sentence.target_lang)

    def _num_tokens(self, text: str, target_lang: str) -> int:
        return len(self._tokenizer.encode_source(text, source_lang=LANGUAGE, target_lang=target_lang))

    def _draw(self, num_pieces: int) -> list[str]:
        drawn = []
        while num_pieces > 0:
            index = self._random.randrange(bisect_right(self._lengths, num_pieces))
            drawn.append(self._words[index])
            num_pieces -= self._lengths[index]
        return drawn
