"""Our engine without its service: a running batch in this process."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from loadtests.bench.work import Targets, Work
from model.checkpoint.config import Checkpoint, read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.generate import generate
from model.search.spec import DecodeSpec
from model.transformer.compute_types import ComputeType

CPU = torch.device("cpu")


class KakehashiBackend:
    def __init__(self, directory: Path, *, compute_type: str, device: str = "cpu") -> None:
        self._checkpoint = read_checkpoint(directory, name=directory.name)
        self._transformer = load_transformer(
            self._checkpoint, compute_type=cast(ComputeType, compute_type), device=torch.device(device)
        )

    def translate(self, work: Work) -> Targets:
        checkpoint = unending(self._checkpoint, work.target_length) if work.fixed_length else self._checkpoint
        specs = [
            DecodeSpec(
                checkpoint.name,
                tuple(source),
                prompt,
                work.max_new_tokens,
                beam_size=work.beam_size,
                repetition_guard=work.repetition_guard,
                num_uncounted_tokens=len(prompt),  # as if `transformers` were passed the whole prompt
            )
            for source, prompt in zip(work.sources, work.prompts, strict=True)
        ]
        max_rows = work.batch_size * work.beam_size
        results = generate(self._transformer, checkpoint, specs, max_rows=max_rows)
        return [list(hypotheses[0].token_ids) for hypotheses in results]


def unending(checkpoint: Checkpoint, length: int) -> Checkpoint:
    """The same checkpoint, with targets that do not end before they have `length` tokens, prompt included."""
    generation = replace(checkpoint.generation, min_length=length, forced_eos_token_id=None)
    return replace(checkpoint, generation=generation)
