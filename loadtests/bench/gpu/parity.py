"""Tokens beside those of `transformers` on the same device, and guarantees that rest on equal tokens."""

from collections.abc import Sequence

import torch

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import bundled_specs
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import read_checkpoint
from model.checkpoint.loading import load_unpacked
from model.cuda.runtime import EagerRuntime, Runtime
from model.decoding.batch import DecodingBatch
from model.decoding.generate import generate
from model.evaluation.transformers_peer import TransformersPeer
from model.search.spec import DecodeSpec

Targets = list[list[int]]
BATCH_SIZE = 32


class Decoder:
    """The bundled checkpoint in one type on the device."""

    def __init__(self, setting: Setting, dtype: torch.dtype) -> None:
        self._checkpoint = read_checkpoint(BUNDLED_MODEL, name="bundled")
        self._transformer = load_unpacked(self._checkpoint, dtype=dtype, device=setting.device)
        self._setting = setting

    def decode(self, specs: Sequence[DecodeSpec], *, max_rows: int = 64, runtime: Runtime | None = None) -> Targets:
        results = generate(
            self._transformer, self._checkpoint, specs, max_rows=max_rows, runtime=runtime or self._setting.runtime
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
            runtime=self._setting.runtime,
        )
        batch.record_steps()
        return batch


def measure(setting: Setting, part: Part) -> None:
    count = 3 if setting.is_tiny else 96
    exact = Decoder(setting, torch.float32)
    peer = TransformersPeer(read_checkpoint(BUNDLED_MODEL, name="bundled"), device=setting.device)
    table = Table("Equal targets, the bundled checkpoint", ["search", "type", "beside", "equal", "of"], [])
    part.tables.append(table)
    for beam_size in (1, 4):
        setting.check_time(10)
        specs = bundled_specs(count, max_new_tokens=setting.max_new_tokens, beam_sizes=(beam_size,))
        theirs = search(peer, specs)
        ours = exact.decode(specs)
        name = "greedy" if beam_size == 1 else f"beam {beam_size}"
        table.body.append([name, "float32", "transformers float32", str(num_equal(ours, theirs)), str(count)])
        part.check(
            f"float32, {name}: tokens equal transformers'",
            holds=ours == theirs,
            detail=f"{num_equal(ours, theirs)} of {count}",
        )
        if not setting.is_tiny:
            halves = Decoder(setting, setting.half).decode(specs)
            table.body.append([name, "float16", "transformers float32", str(num_equal(halves, theirs)), str(count)])
    check_guarantees(part, exact, setting, count)


def check_guarantees(part: Part, exact: Decoder, setting: Setting, count: int) -> None:
    setting.check_time(10)
    specs = bundled_specs(count, max_new_tokens=setting.max_new_tokens)
    together = exact.decode(specs)
    alone = [target for spec in specs[:8] for target in exact.decode([spec], max_rows=1)]
    part.check(
        "float32: a target does not depend on its neighbours",
        holds=alone == together[:8],
        detail=f"{len(alone)} targets",
    )
    called = exact.decode(specs, runtime=EagerRuntime())
    part.check(
        "replayed graphs and called steps give the same tokens", holds=called == together, detail=f"{count} targets"
    )
    again = exact.decode(specs)
    part.check("a second run gives the same tokens", holds=again == together, detail=f"{count} targets")
    mixed = bundled_specs(count, max_new_tokens=setting.max_new_tokens, beam_sizes=(1, 4))
    expected = [together[index] for index in range(0, count, 2)]
    part.check(
        "float32: greedy beside beams gives the tokens of greedy alone", holds=exact.decode(mixed)[::2] == expected
    )


def search(peer: TransformersPeer, specs: Sequence[DecodeSpec], *, batch_size: int = BATCH_SIZE) -> Targets:
    """The targets of `transformers` for specs with one beam size and one limit."""
    max_length = len(specs[0].decoder_prompt) + specs[0].max_new_tokens
    generation = peer.generation(beam_size=specs[0].beam_size, max_length=max_length)
    sources, prompts = [spec.source_ids for spec in specs], [spec.decoder_prompt for spec in specs]
    return peer.search(sources, prompts, generation, batch_size=batch_size)


def num_equal(ours: Targets, theirs: Targets) -> int:
    return sum(left == right for left, right in zip(ours, theirs, strict=True))
