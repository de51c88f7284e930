"""Sentences to translate, and between which languages, as a TSV file has them."""

from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "tests" / "data" / "sources.tsv"


@dataclass(frozen=True, slots=True)
class SourceLine:
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


def read_sources(path: Path = SOURCES) -> list[SourceLine]:
    """A line is source language, tab, target language, tab, text."""
    return [SourceLine(*line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]


def repeated_source_lines(path: Path, count: int) -> list[SourceLine]:
    """`count` of them, from the first line again where the file has fewer."""
    return list(islice(cycle(read_sources(path)), count))
