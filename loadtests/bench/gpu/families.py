"""Small random checkpoints of other families on the device: T5's relative positions, and rules of published Marians."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import torch

from loadtests.bench.gpu.decoder import CPU, Decoder, num_equal, search
from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import random_specs
from loadtests.bench.random_checkpoints import save_small_marian, save_small_t5
from model.checkpoint.config import Checkpoint, read_checkpoint
from model.evaluation.transformers_peer import TransformersPeer
from model.search.spec import DecodeSpec, Sampling

FAMILIES: Mapping[str, Callable[[Path], None]] = MappingProxyType({"T5": save_small_t5, "Marian": save_small_marian})
SOURCE_TOKENS, LEAST_SOURCE_TOKENS, NEW_TOKENS = 40, 5, 24
CUTS = ((0, 1.0), (5, 1.0), (0, 0.8))
"""top_k and top_p of sampled decodes, in turn."""


def check_families(part: Part, setting: Setting, table: Table) -> None:
    """Tokens beside `transformers` and, of sampled decodes, beside those of the CPU; the rows go to `table`."""
    for name, save in FAMILIES.items():
        setting.check_time(8)
        with TemporaryDirectory() as directory:
            save(Path(directory))
            check_family(part, setting, table, name, read_checkpoint(Path(directory), name="random"))


def check_family(part: Part, setting: Setting, table: Table, name: str, checkpoint: Checkpoint) -> None:
    specs = random_specs(
        checkpoint.config,
        4 if setting.is_tiny else 64,
        source_tokens=SOURCE_TOKENS,
        least_source_tokens=LEAST_SOURCE_TOKENS,
        prompt_tokens=1,
        new_tokens=NEW_TOKENS,
    )
    exact = Decoder(setting, torch.float32, checkpoint=checkpoint)
    peer = TransformersPeer(checkpoint, device=setting.device)
    count = len(specs)

    def note(search_name: str, dtype: str, peer_name: str, equal: int) -> None:
        table.body.append([f"{name}, {search_name}", dtype, peer_name, str(equal), str(count)])

    greedy: list[list[int]] = []
    for search_name, beam_size in (("greedy", 1), ("beam 4", 4)):
        wide = [replace(spec, beam_size=beam_size) for spec in specs]
        theirs, ours = search(peer, wide), exact.decode(wide)
        greedy = greedy or theirs
        equal = num_equal(ours, theirs)
        note(search_name, "float32", "transformers float32", equal)
        law = f"random {name}, float32, {search_name}: tokens equal transformers'"
        part.check(law, holds=equal == count, detail=f"{equal} of {count}")
    sampled = as_sampled(specs)
    on_cpu = Decoder(setting, torch.float32, checkpoint=checkpoint, device=CPU)
    equal = num_equal(exact.decode(sampled), on_cpu.decode(sampled))
    note("sampled", "float32", "the CPU, float32", equal)
    part.check(
        f"random {name}, float32, sampled: tokens equal those of the CPU",
        holds=equal == count,
        detail=f"{equal} of {count}",
    )
    halves = Decoder(setting, torch.bfloat16, checkpoint=checkpoint).decode(specs)
    note("greedy", "bfloat16", "transformers float32", num_equal(halves, greedy))


def as_sampled(specs: Sequence[DecodeSpec]) -> list[DecodeSpec]:
    return [
        replace(spec, sampling=Sampling(seed, temperature=0.9, top_k=top_k, top_p=top_p))
        for seed, (spec, (top_k, top_p)) in enumerate(zip(specs, cycle(CUTS), strict=False))
    ]
