"""The checkpoints that benchmarks measure, with sentences in token ids."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loadtests.bench.source_lines import SOURCES, SourceLine, encoded, read_sources
from loadtests.bench.work import Work
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import ModelConfig, read_checkpoint
from model.evaluation.parallel_text import EvaluationError, read_test_sets
from model.tokenizers.loading import load_tokenizer

CheckpointName = Literal["bundled", "marian"]

NUM_SENTENCES = 256
SEED = 20
MIN_SOURCE_TOKENS, MAX_SOURCE_TOKENS = 5, 40
"""Source lengths of the random Marian, including the end token."""
MAX_NEW_TOKENS = 64
"""The limit of targets with natural ends, for a target that finds none."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkpoint, and sentences for it."""

    name: CheckpointName
    directory: Path
    sentences: Work
    """All sentences. A measurement takes some of them and sets beam and batch size."""

    @property
    def description(self) -> str:
        if self.sentences.fixed_length:
            return f"{self.name}: random weights and sources, {self.sentences.max_new_tokens} tokens in every target"
        return f"{self.name}: sentences, with natural ends"


def load_subject(name: CheckpointName, scratch: Path, *, num_target_tokens: int, data: Path | None = None) -> Subject:
    """The random Marian is written to `scratch` and has `num_target_tokens`; `data` is for the bundled checkpoint."""
    if name == "bundled":
        return bundled(data=data)
    return random_marian(scratch / "random-marian", num_target_tokens=num_target_tokens)


def bundled(*, data: Path | None) -> Subject:
    """The bundled checkpoint on real sentences: committed ones, or the files `NAME.en-XX.tsv` in `data`."""
    checkpoint = read_checkpoint(BUNDLED_MODEL, name="bundled")
    tokenizer = load_tokenizer(checkpoint)
    texts = read_sources(SOURCES) if data is None else read_pairs(data)
    random.Random(SEED).shuffle(texts)
    work = encoded(texts, tokenizer, max_new_tokens=MAX_NEW_TOKENS)
    fitting = [index for index, source in enumerate(work.sources) if len(source) <= checkpoint.config.max_positions]
    return Subject("bundled", BUNDLED_MODEL, work.only(fitting[:NUM_SENTENCES]))


def read_pairs(directory: Path) -> list[SourceLine]:
    """Read both directions of the parallel text in `directory`. Raises SystemExit for unusable text."""
    try:
        test_sets = read_test_sets(directory, limit=None)
    except EvaluationError as error:
        raise SystemExit(str(error)) from None
    lines: list[SourceLine] = []
    for forward, backward in zip(test_sets[::2], test_sets[1::2], strict=True):
        for english, other in zip(forward.sources, backward.sources, strict=True):
            lines += [
                SourceLine(each.source_lang, each.target_lang, text)
                for each, text in ((forward, english), (backward, other))
            ]
    return lines


def random_marian(directory: Path, *, num_target_tokens: int) -> Subject:
    """A checkpoint of the size of an OPUS-MT, with random weights and sentences, saved in `directory`.

    Random weights find no natural end, so all targets have `num_target_tokens`.
    """
    from loadtests.bench.random_checkpoints import save_random_marian  # only here: a load generator needs no torch

    save_random_marian(directory)
    config = read_checkpoint(directory, name="marian").config
    generator = random.Random(SEED)
    work = Work(
        sources=tuple(_random_source(config, generator) for _ in range(NUM_SENTENCES)),
        prompts=((config.decoder_start_token_id,),) * NUM_SENTENCES,
        beam_size=1,
        batch_size=NUM_SENTENCES,
        max_new_tokens=num_target_tokens,
        fixed_length=True,
    )
    return Subject("marian", directory, work)


def _random_source(config: ModelConfig, generator: random.Random) -> tuple[int, ...]:
    """Draw ids between the end and unknown tokens, which come first, and the padding token, which is last."""
    length = generator.randint(MIN_SOURCE_TOKENS, MAX_SOURCE_TOKENS)
    return (*(generator.randrange(2, config.vocab_size - 1) for _ in range(length - 1)), config.eos_token_id)
