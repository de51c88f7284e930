"""Our search and that of `transformers` on one checkpoint."""

from collections.abc import Sequence

import torch

from loadtests.bench.gpu.setting import Setting
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import Checkpoint, read_checkpoint
from model.checkpoint.loading import load_unpacked
from model.cuda.runtime import Runtime
from model.decoding.batch import DecodingBatch
from model.decoding.generate import generate
from model.evaluation.transformers_peer import TransformersPeer
from model.search.spec import DecodeSpec

Targets = list[list[int]]
CPU = torch.device("cpu")
BATCH_SIZE = 32


class Decoder:
    """A checkpoint in one type, by default the bundled one on the setting's device."""

    def __init__(
        self,
        setting: Setting,
        dtype: torch.dtype,
        *,
        checkpoint: Checkpoint | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._checkpoint = checkpoint or read_checkpoint(BUNDLED_MODEL, name="bundled")
        self._transformer = load_unpacked(self._checkpoint, dtype=dtype, device=device or setting.device)
        self._runtime = None if device == CPU else setting.runtime

    def decode(self, specs: Sequence[DecodeSpec], *, max_rows: int = 64, runtime: Runtime | None = None) -> Targets:
        results = generate(
            self._transformer, self._checkpoint, specs, max_rows=max_rows, runtime=runtime or self._runtime
        )
        return [list(hypotheses[0].token_ids) for hypotheses in results]

    def batch(self, specs: Sequence[DecodeSpec], *, max_rows: int) -> DecodingBatch:
        """A batch for these greedy specs, with recorded steps."""
        batch = DecodingBatch(
            self._transformer,
            self._checkpoint,
            max_rows=max_rows,
            max_source_tokens=max(len(spec.source_ids) for spec in specs),
            max_target_tokens=max(len(spec.decoder_prompt) + spec.max_new_tokens for spec in specs),
            runtime=self._runtime,
        )
        batch.record_steps()
        return batch


def search(peer: TransformersPeer, specs: Sequence[DecodeSpec], *, batch_size: int = BATCH_SIZE) -> Targets:
    """The targets of `transformers` for specs with one beam size and one limit."""
    max_length = len(specs[0].decoder_prompt) + specs[0].max_new_tokens
    generation = peer.generation(beam_size=specs[0].beam_size, max_length=max_length)
    sources, prompts = [spec.source_ids for spec in specs], [spec.decoder_prompt for spec in specs]
    return peer.search(sources, prompts, generation, batch_size=batch_size)


def num_equal(ours: Targets, theirs: Targets) -> int:
    return sum(left == right for left, right in zip(ours, theirs, strict=True))
