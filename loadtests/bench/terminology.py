"""Find terms with known translations in pairs of sentences, and make up other translations for them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from model.evaluation.parallel_text import read_test_sets
from service.text.segmentation import sets_spaces

SEED = 1
MOST_CHARACTERS = 160
MOST_OF_A_TERM = 3
_MIN_TOGETHER = 3
_MIN_ASSOCIATION = 0.4
_WORD = re.compile(r"[^\W\d_]{4,}")
_JAPANESE_WORD = re.compile(r"[一-鿿]{2,4}|[ァ-ヴー]{3,}")
_SYLLABLES = ("zor", "bel", "mik", "tra", "van", "qui", "lop", "dra", "fen", "gus")
_KANA = "アカサタナハマヤラワキシチニヒミリ"
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TermInSentence:
    """A term that occurs once in the sentence as `source`, and once in the reference as `translation`."""

    sentence: str
    reference: str
    source: str
    translation: str


def draw_terms(data: Path, *, num_sentences: int) -> dict[Pair, list[TermInSentence]]:
    """At most `num_sentences` sentences for each pair of languages, and only a few with the same term."""
    pairs: defaultdict[Pair, list[tuple[str, str]]] = defaultdict(list)
    for test_set in read_test_sets(data, limit=None):
        both = zip(test_set.sources, test_set.references, strict=True)
        short = [each for each in both if len(each[0]) <= MOST_CHARACTERS]
        pairs[test_set.source_lang, test_set.target_lang] += short
    return {pair: list(_draw(pair, sentences))[:num_sentences] for pair, sentences in pairs.items()}


def made_up(term: TermInSentence, language: str, random: Random) -> str:
    """A word that no model knows, with a capital where the known translation has one."""
    if not sets_spaces(language):
        return "".join(random.choices(_KANA, k=4))
    word = "".join(random.choices(_SYLLABLES, k=2))
    return word.capitalize() if term.translation[0].isupper() else word


def _draw(pair: Pair, sentences: list[tuple[str, str]]) -> Iterator[TermInSentence]:
    known = _translations(pair, sentences)
    num_drawn: Counter[str] = Counter()
    for source, target in Random(f"{SEED} {pair}").sample(sentences, len(sentences)):
        for word in sorted(_words(source, pair[0])):
            translation = known.get(word)
            is_clear = translation is not None and source.count(word) == 1 and target.count(translation) == 1
            if translation is not None and is_clear and num_drawn[word] < MOST_OF_A_TERM:
                num_drawn[word] += 1
                yield TermInSentence(source, target, word, translation)
                break


def _translations(pair: Pair, sentences: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each word's translation: the word with which it shares most pairs of sentences (Dice's coefficient)."""
    sources: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for source, target in sentences:
        in_source, in_target = _words(source, pair[0]), _words(target, pair[1])
        sources.update(in_source)
        targets.update(in_target)
        together.update((left, right) for left in in_source for right in in_target)
    best: dict[str, tuple[float, str]] = {}
    for (left, right), number in together.items():
        association = 2 * number / (sources[left] + targets[right])
        if number >= _MIN_TOGETHER and association > max(_MIN_ASSOCIATION, best.get(left, (0.0, ""))[0]):
            best[left] = association, right
    return {word: translation for word, (_, translation) in best.items()}


def _words(text: str, language: str) -> set[str]:
    return set((_WORD if sets_spaces(language) else _JAPANESE_WORD).findall(text))
