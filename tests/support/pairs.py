"""The same weights in `transformers` and in our model, and greedy search with both."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from model.checkpoint.config import Checkpoint, read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.generate import generate
from model.search.results import Hypothesis
from model.search.spec import DecodeSpec
from model.transformer.compute_types import ComputeType
from model.transformer.transformer import Transformer

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Pair:
    checkpoint: Checkpoint
    ours: Transformer
    theirs: PreTrainedModel

    def ruled(self, **rules: Any) -> "Pair":
        """The same weights under other generation rules; `theirs` takes them as arguments."""
        generation = replace(self.checkpoint.generation, **rules)
        return replace(self, checkpoint=replace(self.checkpoint, generation=generation))

    def computing_in(self, compute_type: ComputeType) -> "Pair":
        """The pair with our model in another compute type."""
        return replace(self, ours=load_transformer(self.checkpoint, compute_type=compute_type, device=CPU))


def load_pair(directory: Path) -> Pair:
    checkpoint = read_checkpoint(directory, name="test")
    theirs = AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32).eval()
    return Pair(checkpoint, load_transformer(checkpoint, compute_type="float32", device=CPU), theirs)


def random_sources(pair: Pair, count: int, *, seed: int, max_tokens: int = 30) -> list[list[int]]:
    """Sources of random length: ordinary tokens and the end token."""
    config = pair.checkpoint.config
    special = {config.pad_token_id, config.eos_token_id}
    ordinary = torch.tensor([index for index in range(config.vocab_size) if index not in special])
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, max_tokens, (count,), generator=generator).tolist()
    picks = [ordinary[torch.randint(len(ordinary), (length,), generator=generator)].tolist() for length in lengths]
    return [[*pick, config.eos_token_id] for pick in picks]


def padded(sequences: list[list[int]], pair: Pair) -> tuple[Tensor, Tensor]:
    """Ids [B, S] padded at the end, and lengths [B]."""
    rows = [torch.tensor(sequence) for sequence in sequences]
    ids = pad_sequence(rows, batch_first=True, padding_value=pair.checkpoint.config.pad_token_id)
    return ids, torch.tensor([len(row) for row in rows])


def prompts_of(pair: Pair, count: int) -> list[list[int]]:
    """Decoder prompts: the start token, and for many-to-many models another token as the language token."""
    config = pair.checkpoint.config
    language = [config.vocab_size - 20] if config.model_type in ("m2m_100", "mbart") else []
    return [[config.decoder_start_token_id, *language]] * count


def greedy_theirs(pair: Pair, sources: list[list[int]], prompts: list[list[int]], max_new: int) -> list[list[int]]:
    """Greedy targets of `generate`, in padded batches of similar length."""
    eos = pair.checkpoint.config.eos_token_id
    results: dict[int, list[int]] = {}
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for batch in (order[start : start + 32] for start in range(0, len(order), 32)):
        input_ids, lengths = padded([sources[index] for index in batch], pair)
        outputs = pair.theirs.generate(
            input_ids=input_ids,
            attention_mask=(torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
            decoder_input_ids=torch.tensor([prompts[index] for index in batch]),
            num_beams=1,
            do_sample=False,
            early_stopping=False,
            use_cache="t5" not in pair.checkpoint.config.model_type,  # its cache has one layer for each encoder layer
            max_length=len(prompts[0]) + max_new,
        )
        for index, output in zip(batch, outputs[:, len(prompts[0]) :].tolist(), strict=True):
            results[index] = output[: output.index(eos) + 1] if eos in output else output
    return [results[index] for index in range(len(sources))]


def make_spec(source: Sequence[int], prompt: Sequence[int], max_new_tokens: int, **options: Any) -> DecodeSpec:
    return DecodeSpec("test", tuple(source), tuple(prompt), max_new_tokens, **options)


def greedy_ours(
    pair: Pair, sources: list[list[int]], prompts: list[list[int]], max_new: int, *, max_rows: int = 32
) -> list[list[int]]:
    """Greedy targets of the running batch, where rows enter and leave while others run."""
    specs = [
        make_spec(source, prompt, max_new, repetition_guard=False)
        for source, prompt in zip(sources, prompts, strict=True)
    ]
    results = generate(pair.ours, pair.checkpoint, specs, max_rows=max_rows)
    return [list(hypotheses[0].token_ids) for hypotheses in results]


@dataclass(frozen=True, slots=True)
class Output:
    """One target of `generate`, without the prompt; greedy targets have no score."""

    token_ids: list[int]
    score: float | None


def their_outputs(
    pair: Pair, sources: list[list[int]], prompt: list[int], *, decoder_input_ids: bool = False, **options: Any
) -> list[list[Output]]:
    """The outputs of `generate` for every source, in one padded batch: `num_return_sequences` each, best first.

    The language token of the prompt is forced, as usual, or passed in `decoder_input_ids`.
    """
    input_ids, lengths = padded(sources, pair)
    if decoder_input_ids or len(prompt) > 2:
        options["decoder_input_ids"] = torch.tensor([prompt] * len(sources))
    elif len(prompt) == 2:
        options["forced_bos_token_id"] = prompt[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = pair.theirs.generate(
            input_ids=input_ids,
            attention_mask=(torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
    targets = [target[len(prompt) :] for target in result.sequences.tolist()]
    scores = result.sequences_scores.tolist() if options["num_beams"] > 1 else [None] * len(targets)
    outputs = [Output(_without_padding(target, pair), score) for target, score in zip(targets, scores, strict=True)]
    count = len(outputs) // len(sources)
    return [outputs[start : start + count] for start in range(0, len(outputs), count)]


def _without_padding(target: list[int], pair: Pair) -> list[int]:
    """Cut a target after its end token or, if there is none, before the padding."""
    config = pair.checkpoint.config
    if config.eos_token_id in target:
        return target[: target.index(config.eos_token_id) + 1]
    return target[: target.index(config.pad_token_id)] if config.pad_token_id in target else target


def assert_equal_outputs(ours: Sequence[Hypothesis], theirs: list[Output], label: object) -> None:
    """Compare tokens exactly, and scores with a relative tolerance of 1e-5."""
    assert [list(hypothesis.token_ids) for hypothesis in ours] == [output.token_ids for output in theirs], label
    for hypothesis, output in zip(ours, theirs, strict=True):
        assert output.score is None or hypothesis.score == pytest.approx(output.score, rel=1e-5, abs=1e-5), label
