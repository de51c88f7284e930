"""Texts that a server has not seen, each of exactly as many tokens as it is to have.

Words of real sentences in random order, with no mark between them that could end a sentence: each text is one sentence
and, where the model has positions for it, one sequence.
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
    """No text is given twice. What is drawn depends on the words, the seed and the order of the calls."""

    def __init__(self, tokenizer: Tokenizer, sentences: Iterable[SourceLine], *, seed: int) -> None:
        """Takes the words of the English ones; there must be some of one token."""
        runs = {run for each in sentences if each.source_lang == LANGUAGE for run in each.text.split()}
        words = {word for run in runs if (word := run.strip(string.punctuation)).isalpha()}
        self._words = sorted(words, key=lambda word: (tokenizer.count_tokens(word), word))
        self._lengths = [tokenizer.count_tokens(word) for word in self._words]
        self._tokenizer = tokenizer
        self._random = Random(seed)
        self._given: set[str] = set()

    def mix(self, num_tokens: int, *, target_lang: str) -> SourceLine:
        """An English source of `num_tokens`, special ones included.

        Raises ValueError where it finds none that it has not given.
        """
        num_pieces = num_tokens - self._num_tokens("", target_lang)
        for _ in range(MAX_TRIES if num_pieces > 0 else 0):
            text = " ".join(self._draw(num_pieces))
            # Words by themselves may have more pieces, or fewer, than side by side.
            if text not in self._given and self._num_tokens(text, target_lang) == num_tokens:
                self._given.add(text)
                return SourceLine(LANGUAGE, target_lang, text)
        raise ValueError(f"found no further text of {num_tokens} tokens")

    def like(self, sentence: SourceLine) -> SourceLine:
        """Another as long as this, into the same language."""
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
