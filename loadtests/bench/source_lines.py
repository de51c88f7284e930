"""Sentences with their languages, read from a TSV file, as requests or as token ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.bench.work import Work

if TYPE_CHECKING:  # it needs langcodes, which a machine with a GPU may lack
    from model.tokenizers.base import Tokenizer

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
    """Read lines of source language, target language and text, separated by tabs."""
    return [SourceLine(*line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]


def repeated_source_lines(path: Path, count: int) -> list[SourceLine]:
    """The first `count` lines, starting again from the first if the file has fewer."""
    return list(islice(cycle(read_sources(path)), count))


def encoded(lines: Iterable[SourceLine], tokenizer: "Tokenizer", *, max_new_tokens: int) -> Work:
    """The lines in token ids, for a greedy search in one batch."""
    sources, prompts = [], []
    for line in lines:
        source = tokenizer.encode_source(line.text, source_lang=line.source_lang, target_lang=line.target_lang)
        sources.append(tuple(source))
        prompts.append(tuple(tokenizer.decoder_prompt(line.target_lang)))
    return Work(tuple(sources), tuple(prompts), beam_size=1, batch_size=len(sources), max_new_tokens=max_new_tokens)
