"""Tokens beside those of `transformers` on the same device, and guarantees that rest on equal tokens."""

import torch

from loadtests.bench.gpu.decoder import Decoder, num_equal, search
from loadtests.bench.gpu.families import check_families
from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import bundled_specs
from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.config import read_checkpoint
from model.cuda.runtime import EagerRuntime
from model.evaluation.transformers_peer import TransformersPeer


def measure(setting: Setting, part: Part) -> None:
    count = 3 if setting.is_tiny else 96
    exact = Decoder(setting, torch.float32)
    peer = TransformersPeer(read_checkpoint(BUNDLED_MODEL, name="bundled"), device=setting.device)
    head = ["search", "type", "beside", "equal", "of"]
    table = Table("Equal targets, the bundled checkpoint and small random ones", head, [])
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
    check_families(part, setting, table)


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
