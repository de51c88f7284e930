"""The sentences that are measured with."""

from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "tests" / "data" / "sources.tsv"


@dataclass(frozen=True, slots=True)
class Sentence:
    source_lang: str
    target_lang: str
    text: str

    def body(self, *, stream: bool) -> dict[str, object]:
        return {
            "text": self.text,
            "source_lang": self.source_lang,
            "target_lang": self.target_lang,
            "stream": stream,
        }


def read_file(path: Path) -> list[Sentence]:
    """A line is source language, tab, target language, tab, text."""
    return [Sentence(*line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]


def read_sentences(path: Path, count: int) -> list[Sentence]:
    """`count` of them, from the first line again where the file has fewer."""
    return list(islice(cycle(read_file(path)), count))
