"""Offline decoding: sequences that join a batch as others leave it.

It does what an engine does, in the plainest way, for evaluation, benchmarks and tests.
"""

from collections.abc import Callable, Iterable, Sequence

import torch

from model.checkpoint.config import Checkpoint
from model.decoding.batch import DecodingBatch, padded
from model.search.types import Hypothesis, Progress, SearchRequest
from model.transformer.transformer import Transformer


class RunningBatch:
    """Rows are kept in slots 0..n-1: the last one takes the slot of one that leaves."""

    def __init__(
        self,
        transformer: Transformer,
        checkpoint: Checkpoint,
        *,
        max_rows: int,
        max_source_tokens: int,
        max_target_tokens: int,
    ) -> None:
        """`max_target_tokens` counts the decoder prompt too."""
        self._transformer = transformer
        self._pad_token_id = checkpoint.config.pad_token_id
        self._max_rows = max_rows
        self._sequence_ids: list[int] = []  # of each row
        self._batch = DecodingBatch(
            transformer,
            checkpoint,
            max_rows=max_rows,
            max_source_tokens=max_source_tokens,
            max_target_tokens=max_target_tokens,
        )

    @property
    def num_rows(self) -> int:
        return len(self._sequence_ids)

    @property
    def num_free_rows(self) -> int:
        return self._max_rows - len(self._sequence_ids)

    @torch.inference_mode()
    def join(self, requests: Sequence[SearchRequest], sources: Sequence[Sequence[int]]) -> None:
        """Encode the sources as one batch, and prefill the decoder prompts but for their last tokens."""
        input_ids, lengths = padded(sources, pad_token_id=self._pad_token_id)
        device = self._transformer.device
        encoder_hidden_states = self._transformer.encode(input_ids.to(device), lengths.to(device))
        self._batch.enter(
            self.num_rows, requests, encoder_hidden_states, [len(source) for source in sources], range(len(sources))
        )
        for request in requests:
            self._sequence_ids += [request.sequence_id] * request.beam_size

    def step(self) -> list[Progress]:
        """One token for every row; the rows of sequences that finish are free at once."""
        step = self._batch.step(self.num_rows)
        self.leave(progress.sequence_id for progress in step if progress.hypotheses)
        return step

    def leave(self, sequence_ids: Iterable[int]) -> None:
        """Free the rows of these sequences: from the last on down, the last row moves into the place of each."""
        leaving = set(sequence_ids)
        for slot in reversed(range(self.num_rows)):
            if self._sequence_ids[slot] in leaving:
                last = self._sequence_ids.pop()
                if slot < self.num_rows:
                    self._batch.move(self.num_rows, slot)
                    self._sequence_ids[slot] = last


def generate(
    transformer: Transformer,
    checkpoint: Checkpoint,
    requests: Sequence[SearchRequest],
    sources: Sequence[Sequence[int]],
    *,
    max_rows: int = 64,
    on_step: Callable[[list[Progress]], None] | None = None,
) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of each request over its source, best first. Sequences join, longest source first, as others end.

    Each request needs a `sequence_id` of its own. Sequences wait until a quarter of the rows is free, so that their
    sources are encoded several at once. `on_step` is given what each step brought, with a Progress for every running
    sequence.
    """
    if not requests:
        return []
    batch = RunningBatch(
        transformer,
        checkpoint,
        max_rows=max(max_rows, *(request.beam_size for request in requests)),
        max_source_tokens=max(map(len, sources)),
        max_target_tokens=max(_max_target_tokens(request, checkpoint) for request in requests),
    )
    results: dict[int, tuple[Hypothesis, ...]] = {}
    waiting = sorted(range(len(requests)), key=lambda index: len(sources[index]))
    while waiting or batch.num_rows:
        joining: list[int] = []
        free = batch.num_free_rows
        if batch.num_rows and free < max_rows // 4:
            free = 0
        while waiting and requests[waiting[-1]].beam_size <= free:
            joining.append(waiting.pop())
            free -= requests[joining[-1]].beam_size
        if joining:
            batch.join([requests[index] for index in joining], [sources[index] for index in joining])
        step = batch.step()
        results |= {progress.sequence_id: progress.hypotheses for progress in step if progress.hypotheses}
        if on_step is not None:
            on_step(step)
    return [results[request.sequence_id] for request in requests]


def _max_target_tokens(request: SearchRequest, checkpoint: Checkpoint) -> int:
    return min(len(request.decoder_prompt) + request.max_new_tokens, checkpoint.generation.max_length)
