"""The engine without a server: the same sentences, as many processes as there were workers, a torch thread each."""

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import cast

from loadtests.bench.running_server import START_SECONDS, ServedCheckpoint, machine_cpu_seconds
from loadtests.bench.source_lines import SourceLine
from model.checkpoint.hub import resolve_checkpoint
from model.transformer.compute_types import ComputeType
from service.app import BUNDLED_NAME
from service.settings import BUNDLED_MODEL

NUM_WARM_UP = 8


@dataclass(frozen=True, slots=True)
class Share:
    """What one process decodes. `device` may name a GPU of its own."""

    directory: Path
    sentences: tuple[SourceLine, ...]
    compute_type: ComputeType
    device: str
    max_rows: int
    max_new_tokens: int
    num_rounds: int


@dataclass(frozen=True, slots=True)
class RoundTiming:
    """One round of one process, in the system's monotonic time."""

    round_index: int
    began: float
    ended: float
    cpu_seconds: float
    machine_cpu_seconds: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class OfflineRound:
    """From the first start to the last end. `others` is the CPU time of everybody else, in cores."""

    tokens_per_second: float
    others: float

    @classmethod
    def of(cls, spans: Sequence[RoundTiming]) -> "OfflineRound":
        seconds = max(span.ended for span in spans) - min(span.began for span in spans)
        machine = max(span.machine_cpu_seconds for span in spans)
        return cls(
            tokens_per_second=sum(span.num_tokens for span in spans) / seconds,
            others=max(0.0, machine - sum(span.cpu_seconds for span in spans)) / seconds,
        )


def measure_offline(
    checkpoint: ServedCheckpoint, sentences: Sequence[SourceLine], *, num_rounds: int, seconds_limit: float
) -> list[OfflineRound]:
    """Call it while no server runs.

    Raises queue.Empty where a process does not say in time what it measured.
    """
    directory = BUNDLED_MODEL if checkpoint.name == BUNDLED_NAME else resolve_checkpoint(checkpoint.name)
    context = multiprocessing.get_context("spawn")
    barrier, spans = context.Barrier(checkpoint.workers), context.Queue()
    processes = [
        context.Process(
            target=_decode_share,
            args=(
                Share(
                    directory,
                    tuple(sentences[index :: checkpoint.workers]),
                    cast(ComputeType, checkpoint.compute_type),
                    checkpoint.device,
                    checkpoint.max_rows,
                    checkpoint.max_new_tokens,
                    num_rounds,
                ),
                barrier,
                spans,
            ),
            daemon=True,
        )
        for index in range(checkpoint.workers)
    ]
    try:
        for process in processes:
            process.start()
        measured = [spans.get(timeout=seconds_limit) for _ in range(num_rounds * len(processes))]
    finally:
        for process in processes:
            process.terminate()
            process.join()
    return [OfflineRound.of([span for span in measured if span.round_index == index]) for index in range(num_rounds)]


def _decode_share(share: Share, barrier: Barrier, spans: "Queue[RoundTiming]") -> None:
    # Only here: the process that makes the load needs no torch.
    import torch

    from model.checkpoint.config import read_checkpoint
    from model.checkpoint.loading import load_transformer
    from model.decoding.generate import generate
    from model.search.spec import DecodeSpec
    from model.tokenizers.loading import load_tokenizer

    torch.set_num_threads(1)
    checkpoint = read_checkpoint(share.directory, name=str(share.directory))
    tokenizer = load_tokenizer(checkpoint)
    transformer = load_transformer(checkpoint, compute_type=share.compute_type, device=torch.device(share.device))
    specs = []
    for each in share.sentences:
        source = tokenizer.encode_source(each.text, source_lang=each.source_lang, target_lang=each.target_lang)
        prompt = tokenizer.decoder_prompt(each.target_lang)
        specs.append(DecodeSpec(checkpoint.name, tuple(source), tuple(prompt), share.max_new_tokens))
    generate(transformer, checkpoint, specs[:NUM_WARM_UP], max_rows=share.max_rows)
    for round_index in range(share.num_rounds):
        barrier.wait(START_SECONDS)
        began, cpu_began, machine_began = time.monotonic(), time.process_time(), machine_cpu_seconds()
        results = generate(transformer, checkpoint, specs, max_rows=share.max_rows)
        span = RoundTiming(
            round_index,
            began,
            ended=time.monotonic(),
            cpu_seconds=time.process_time() - cpu_began,
            machine_cpu_seconds=machine_cpu_seconds() - machine_began,
            num_tokens=sum(len(best.token_ids) for best, *_ in results),
        )
        spans.put(span)
