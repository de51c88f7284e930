"""Compare libraries that find the ends of sentences: python -m loadtests.bench.boundaries DATA_DIR.

Paragraphs are ten consecutive lines of DATA_DIR's `NAME.en-XX.tsv` (English, tab, other) that end as sentences do. The
boundaries inside a paragraph are counted. The hard cases are those of `tests/data/boundaries.txt`. Our dependencies
include only the library that the server uses: `pip install` the others.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

from model.evaluation.markdown import markdown_table

HARD_CASES = Path(__file__).parents[2] / "tests" / "data" / "boundaries.txt"
LINES_A_PARAGRAPH = 10
ENDS = re.compile(r"[.!?…。！？][\"'”’“»」』)）\s]*$")
JAPANESE = "ja"
TIMED_CHARACTERS = 20_000
SETS = (
    ("newstest2013", "en"),
    ("newstest2013", "de"),
    ("newstest2013", "fr"),
    ("newstest2013", "es"),
    ("tatoeba", "en"),
    ("tatoeba", "de"),
    ("tatoeba", "fr"),
    ("tatoeba", "es"),
    ("tatoeba", "ja"),
    ("tanaka", "ja"),
)

Cut = Callable[[str, str], Iterable[str]]
"""Cuts a text in a language into stretches, which joined make up the text, white space aside."""


def sentencex(text: str, language: str) -> Iterable[str]:
    from sentencex import segment

    return list(segment(language, text))


def pysbd(text: str, language: str) -> Iterable[str]:
    from pysbd import Segmenter

    return list(Segmenter(language=language, clean=False).segment(text))


def blingfire(text: str, _: str) -> Iterable[str]:
    from blingfire import text_to_sentences

    return str(text_to_sentences(text)).split("\n")


def nupunkt(text: str, _: str) -> Iterable[str]:
    from nupunkt import sent_tokenize

    return list(sent_tokenize(text))


def icu(text: str, language: str) -> Iterable[str]:
    """ICU's breaks with CLDR's suppressions."""
    from icu4py.breakers import SentenceBreaker

    return [text[start:stop] for start, stop in SentenceBreaker(text, f"{language}@ss=standard").segments()]


@cache
def _srx_rules() -> object:
    from choppa import DEFAULT_SRX_RULESET, SrxDocument

    return SrxDocument(ruleset=DEFAULT_SRX_RULESET)


def languagetool(text: str, language: str) -> Iterable[str]:
    """The breaks of LanguageTool's rules."""
    from choppa import SrxTextIterator

    return list(SrxTextIterator(_srx_rules(), f"{language}_two", text))


def served(text: str, language: str) -> Iterable[str]:
    """The sentences of the server, which refines the results of its library, with the gaps before them."""
    from service.text.segmentation import segment

    segmented = segment(text, language=language)
    before = [gap.text + sentence for gap, sentence in zip(segmented.gaps, segmented.sentences, strict=False)]
    return [*before[:-1], before[-1] + segmented.gaps[-1].text]


LIBRARIES: dict[str, Cut] = {
    "sentencex": sentencex,
    "pysbd": pysbd,
    "blingfire": blingfire,
    "nupunkt": nupunkt,
    "ICU": icu,
    "LanguageTool": languagetool,
    "served": served,
}


@dataclass(slots=True)
class Score:
    num_right: int = 0
    num_found: int = 0
    num_meant: int = 0

    def add(self, found: set[int], meant: set[int]) -> None:
        self.num_right += len(found & meant)
        self.num_found += len(found)
        self.num_meant += len(meant)

    @property
    def f1(self) -> float:
        return 2 * self.num_right / max(1, self.num_found + self.num_meant)


def read_hard_cases() -> dict[str, list[list[str]]]:
    """The sentences of each case, by language."""
    cases: dict[str, list[list[str]]] = {}
    for line in HARD_CASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            cases[line.strip("[]")] = found = []
        elif line and not line.startswith("#"):
            found.append([each.strip() for each in line.split("|")])
    return cases


def joined(sentences: Sequence[str], language: str) -> str:
    return ("" if language == JAPANESE else " ").join(sentences)


def ends(stretches: Iterable[str]) -> set[int]:
    """The ends of all stretches but the last, counted in characters that are not white space."""
    lengths = [len("".join(stretch.split())) for stretch in stretches]
    return set(accumulate(length for length in lengths if length)) - {sum(lengths)}


def score(cut: Cut, paragraphs: Iterable[Sequence[str]], language: str) -> float:
    total = Score()
    for sentences in paragraphs:
        total.add(ends(cut(joined(sentences, language), language)), ends(sentences))
    return total.f1


def read_paragraphs(directory: Path, name: str, language: str) -> Iterator[Sequence[str]]:
    path = next(iter(sorted(directory.glob(f"{name}.en-{'*' if language == 'en' else language}.tsv"))))
    column = 0 if language == "en" else 1
    lines = [line.split("\t")[column] for line in path.read_text(encoding="utf-8").splitlines()]
    whole = [line for line in lines if ENDS.search(line)]
    for start in range(0, len(whole), LINES_A_PARAGRAPH):
        yield whole[start : start + LINES_A_PARAGRAPH]


def microseconds(cut: Cut, text: str, language: str) -> float:
    """The time in microseconds for 1,000 characters."""
    cut(text, language)
    began = time.process_time()
    cut(text, language)
    return (time.process_time() - began) * 1e9 / len(text)


def measure(cut: Cut, directory: Path) -> list[str]:
    cells = [f"{score(cut, read_paragraphs(directory, *each), each[1]):.3f}" for each in SETS]
    cells += [f"{score(cut, cases, language):.3f}" for language, cases in read_hard_cases().items()]
    english = " ".join(joined(each, "en") for each in read_paragraphs(directory, "newstest2013", "en"))
    cells.append(f"{microseconds(cut, english[:TIMED_CHARACTERS], 'en'):.0f}")
    cells.append(f"{microseconds(cut, 'word ' * (TIMED_CHARACTERS // 5), 'en'):.0f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.boundaries", description="Compare splitters.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    flags = parser.parse_args()
    rows = [f"{name}, {language}" for name, language in SETS]
    rows += [f"hard cases, {language}" for language in read_hard_cases()]
    rows += ["µs for 1,000 characters", "µs for 1,000 without an end"]
    columns = []
    for name in flags.libraries:
        try:
            columns.append(measure(LIBRARIES[name], flags.data))
        except ModuleNotFoundError as error:
            sys.exit(f"{error.name} is missing: pip install it, or leave it out of --libraries")
    print(markdown_table(["F1", *flags.libraries], [list(row) for row in zip(rows, *columns, strict=True)]))


if __name__ == "__main__":
    main()
