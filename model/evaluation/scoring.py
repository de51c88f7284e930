"""The measurements of `kakehashi evaluate`: how well a checkpoint translates, and how early its beams agree.

Each `NAME.en-XX.tsv` of a directory (`English<TAB>other language`, UTF-8) is translated both ways, in float32, with
the checkpoint's own generation rules and without the repetition guard, which `transformers` does not have.
`transformers` translates the same token ids, and its output is decoded the same way, so a difference comes from the
search.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from tqdm import tqdm

from model.checkpoint.config import Checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.generate import generate
from model.evaluation.parallel_text import EvaluationError, TestSet
from model.evaluation.transformers_peer import TransformersPeer
from model.search.results import Progress
from model.search.spec import DecodeSpec
from model.tokenizers.loading import Tokenizer, load_tokenizer
from model.transformer.compute_types import ComputeType
from model.transformer.transformer import Transformer

CPU = torch.device("cpu")
MAX_PEER_ROWS = 64
"""The size of a batch in `transformers`."""
_BLEU_TOKENIZERS = {"ja": "char", "zh": "zh"}
"""sacrebleu's tokenizers by target language, instead of 13a. By character, Japanese needs no MeCab."""


@dataclass(frozen=True, slots=True)
class Score:
    """Corpus scores of sacrebleu, 0 to 100."""

    bleu: float
    chrf: float


@dataclass(frozen=True, slots=True)
class FirstDelta:
    """Means over sentences, in decode steps; each step adds a token to every beam."""

    steps: float
    """Steps until the first tokens are certain, inclusive."""
    steps_early: float
    """Steps from there to the end of the search, when the tokens would arrive without streaming."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test set with one beam size. `theirs` is the score of `transformers`, if it was run."""

    outputs: list[str]
    score: Score
    first_delta: FirstDelta
    theirs: Score | None = None
    num_equal: int = 0
    """The number of sentences for which `transformers` returns the same tokens."""


@dataclass(slots=True)
class _StepCounts:
    """Counts the steps of each decode and shows finished decodes on a progress bar."""

    bar: tqdm
    steps: dict[int, int] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)

    def __call__(self, step: list[Progress]) -> None:
        for progress in step:
            number = self.steps[progress.decode_id] = self.steps.get(progress.decode_id, 0) + 1
            if progress.tokens:
                self.first.setdefault(progress.decode_id, number)
        self.bar.update(sum(bool(progress.hypotheses) for progress in step))

    def first_delta(self) -> FirstDelta:
        first = sum(self.first.values()) / len(self.steps)
        return FirstDelta(first, sum(self.steps.values()) / len(self.steps) - first)


class Evaluator:
    """A checkpoint on the CPU and, with `against_transformers`, the same weights in `transformers`, in float32."""

    def __init__(self, checkpoint: Checkpoint, *, compute_type: ComputeType, against_transformers: bool) -> None:
        """Raises CheckpointError."""
        self._checkpoint = checkpoint
        self._tokenizer: Tokenizer = load_tokenizer(checkpoint)
        self._transformer: Transformer = load_transformer(checkpoint, compute_type=compute_type, device=CPU)
        self._theirs = TransformersPeer(checkpoint) if against_transformers else None

    @property
    def num_searches(self) -> int:
        """The number of translations of a sentence with a beam size."""
        return 1 if self._theirs is None else 2

    def serves(self, test_set: TestSet) -> bool:
        return self._pair(test_set) is not None

    def evaluate(self, test_set: TestSet, beam_size: int, bar: tqdm) -> Outcome:
        """Raises EvaluationError for a pair that the checkpoint does not translate or a source with too many tokens."""
        sources, prompt = self._encode(test_set)
        max_new_tokens = self._checkpoint.generation.max_length - len(prompt)
        name = self._checkpoint.name
        specs = [
            DecodeSpec(name, tuple(source), prompt, max_new_tokens, beam_size=beam_size, repetition_guard=False)
            for source in sources
        ]
        counts = _StepCounts(bar)
        results = generate(self._transformer, self._checkpoint, specs, on_step=counts)
        targets = [list(hypotheses[0].token_ids) for hypotheses in results]
        outputs = [self._tokenizer.decode(target) for target in targets]
        outcome = Outcome(outputs, _score(outputs, test_set), counts.first_delta())
        if self._theirs is None:
            return outcome
        their_targets = self._theirs.search(
            sources,
            [prompt] * len(sources),
            self._theirs.generation(beam_size=beam_size, max_length=self._checkpoint.generation.max_length),
            batch_size=max(1, MAX_PEER_ROWS // beam_size),
            forces_language=True,
            on_done=bar.update,
        )
        theirs = _score([self._tokenizer.decode(target) for target in their_targets], test_set)
        num_equal = sum(ours == their for ours, their in zip(targets, their_targets, strict=True))
        return replace(outcome, theirs=theirs, num_equal=num_equal)

    def _encode(self, test_set: TestSet) -> tuple[list[list[int]], tuple[int, ...]]:
        """The sources, and the decoder prompt that they share."""
        pair = self._pair(test_set)
        if pair is None:
            raise EvaluationError(
                f"{test_set.path}: {self._checkpoint.name} does not translate "
                f"{test_set.source_lang} → {test_set.target_lang}"
            )
        source_lang, target_lang = pair
        max_tokens = self._checkpoint.config.max_positions
        sources = []
        for line, text in enumerate(test_set.sources, 1):
            ids = self._tokenizer.encode_source(text, source_lang=source_lang, target_lang=target_lang)
            if len(ids) > max_tokens:
                raise EvaluationError(f"{test_set.path}:{line}: {len(ids)} tokens; the limit is {max_tokens}")
            sources.append(ids)
        return sources, tuple(self._tokenizer.decoder_prompt(target_lang))

    def _pair(self, test_set: TestSet) -> tuple[str, str] | None:
        """The checkpoint's own codes of a direct pair."""
        source = self._tokenizer.match(test_set.source_lang, among=self._tokenizer.source_languages)
        if source is None:
            return None
        target = self._tokenizer.match(test_set.target_lang, among=self._tokenizer.targets_of(source))
        return None if target is None else (source, target)


def bleu(outputs: Sequence[str], references: Sequence[str], *, language: str) -> float:
    """The corpus score of sacrebleu, 0 to 100, of targets in this language."""
    tokenizer = _BLEU_TOKENIZERS.get(re.split("[-_]", language)[0].lower(), "13a")
    return float(BLEU(tokenize=tokenizer).corpus_score(outputs, [references]).score)


def _score(outputs: list[str], test_set: TestSet) -> Score:
    return Score(
        bleu(outputs, test_set.references, language=test_set.target_lang),
        CHRF().corpus_score(outputs, [test_set.references]).score,
    )


def evaluate(
    evaluator: Evaluator, test_sets: Sequence[TestSet], beam_sizes: Sequence[int], *, progress_bar: bool = True
) -> Iterator[tuple[TestSet, list[Outcome]]]:
    """The outcome of each test set by beam size. Shows a progress bar on stderr."""
    sentences = sum(len(test_set.sources) for test_set in test_sets)
    total = sentences * len(beam_sizes) * evaluator.num_searches
    with tqdm(total=total, unit="sentence", disable=not progress_bar) as bar:
        for test_set in test_sets:
            bar.set_description(f"{test_set.name} {test_set.source_lang} → {test_set.target_lang}")
            yield test_set, [evaluator.evaluate(test_set, beam_size, bar) for beam_size in beam_sizes]
