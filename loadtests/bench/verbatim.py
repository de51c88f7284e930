"""Insert things that are not language into sentences and translate them: python -m loadtests.bench.verbatim DATA_DIR.

DATA_DIR has `NAME.en-XX.tsv`, one pair a line: English, tab, other. Sentences and places are drawn with a fixed seed,
equally many for each kind of thing and each pair. A translation is right if it contains every thing as often as the
source, character by character, and in the same order. If a word beside the first thing, mostly a name, occurs once in
the translation, the table also counts whether the thing still stands beside it, and it counts the sentences with a
warning.

With --stand-ins, every stand-in replaces the things before translation, and the translations that contain it exactly
once are counted. This shows what it would take to let the model itself carry the things.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tqdm import tqdm

from loadtests.bench.insertions import KINDS, Insertion, insert, is_beside, is_verbatim
from loadtests.bench.offline_translation import OfflineTranslator, bundled_translator, translation_parser
from model.evaluation.markdown import markdown_table, search_name
from model.evaluation.parallel_text import read_test_sets

SEED = 1
MOST_CHARACTERS = 160
Pair = tuple[str, str]


@dataclass(slots=True)
class Count:
    num_right: int = 0
    num_beside: int = 0
    num_with_word: int = 0
    num_warned: int = 0
    num_sentences: int = 0

    def row(self) -> list[str]:
        beside = f"{self.num_beside / self.num_with_word:.1%} of {self.num_with_word}" if self.num_with_word else "–"
        return [
            f"{self.num_sentences:,}",
            f"{self.num_right / self.num_sentences:.1%}",
            beside,
            f"{self.num_warned / self.num_sentences:.1%}",
        ]


def main() -> None:
    parser = translation_parser(__doc__)
    parser.add_argument("--sentences", type=int, default=500, help="of each kind and pair")
    parser.add_argument("--pivots", action="store_true", help="pairs through English too")
    parser.add_argument("--stand-ins", nargs="+", default=[])
    parser.add_argument("--failures", action="store_true", help="print what went wrong")
    arguments = parser.parse_args()
    translator = bundled_translator(num_threads=arguments.threads)
    pairs = dict(_sentences(arguments.data, with_pivots=arguments.pivots))
    if arguments.stand_ins:
        print(_stand_in_table(translator, pairs, arguments))
    else:
        print(_kind_table(translator, pairs, arguments))


def _sentences(data: Path, *, with_pivots: bool) -> Iterator[tuple[Pair, list[str]]]:
    by_source: defaultdict[str, list[str]] = defaultdict(list)
    pairs: dict[Pair, None] = {}
    for test_set in read_test_sets(data, limit=None):
        by_source[test_set.source_lang] += [text for text in test_set.sources if len(text) <= MOST_CHARACTERS]
        pairs[test_set.source_lang, test_set.target_lang] = None
    if with_pivots:
        pairs |= {(source, target): None for source in by_source for target in by_source if source != target}
    for source, target in pairs:
        yield (source, target), by_source[source]


def _kind_table(translator: OfflineTranslator, pairs: dict[Pair, list[str]], arguments: argparse.Namespace) -> str:
    head = ["things", "search", "sentences", "verbatim, once, in order", "beside the same word", "with a warning"]
    body = []
    with tqdm(total=len(KINDS) * len(pairs) * len(arguments.beam_sizes), unit="list") as bar:
        for kind in KINDS:
            for beam_size in arguments.beam_sizes:
                count = Count()
                for (source, target), sentences in pairs.items():
                    drawn = _insertions(sentences, kind, language=source, num_sentences=arguments.sentences)
                    translations = translator.translate(
                        [each.text for each in drawn], source, target, beam_size=beam_size
                    )
                    for insertion, translation in zip(drawn, translations, strict=True):
                        is_right = _add(count, insertion, translation.text, has_warning=bool(translation.warnings))
                        if arguments.failures and not is_right:
                            print(f"{source}-{target} {insertion.things}\n  {insertion.text}\n  {translation.text}")
                    bar.update()
                search = search_name(beam_size)
                body.append([kind, search, *count.row()])
    return markdown_table(head, body)


def _insertions(sentences: list[str], kind: str, *, language: str, num_sentences: int) -> list[Insertion]:
    random = Random(f"{SEED} {kind} {language}")
    drawn = (insert(each, kind, language=language, random=random) for each in random.sample(sentences, len(sentences)))
    return [each for each in drawn if each is not None][:num_sentences]


def _add(count: Count, insertion: Insertion, text: str, *, has_warning: bool) -> bool:
    is_right = is_verbatim(text, insertion.things)
    beside = is_beside(text, insertion)
    count.num_sentences += 1
    count.num_right += is_right
    count.num_warned += has_warning
    count.num_with_word += beside is not None
    count.num_beside += beside is True
    return is_right


def _stand_in_table(translator: OfflineTranslator, pairs: dict[Pair, list[str]], arguments: argparse.Namespace) -> str:
    """The shares of stand-ins copied once, by stand-in and pair. The service itself must not take out a stand-in."""
    body = []
    for stand_in in tqdm(arguments.stand_ins, unit="stand-in"):
        row = [f"`{stand_in}`"]
        for (source, target), sentences in pairs.items():
            drawn = _insertions(sentences, "placeholders", language=source, num_sentences=arguments.sentences)
            texts = [each.text.replace(each.things[0], stand_in) for each in drawn]
            translations = translator.translate(texts, source, target, beam_size=arguments.beam_sizes[0])
            row.append(f"{sum(each.text.count(stand_in) == 1 for each in translations) / len(drawn):.0%}")
        body.append(row)
    return markdown_table(["stand-in", *("–".join(pair) for pair in pairs)], body)


if __name__ == "__main__":
    main()
