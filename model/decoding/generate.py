"""Offline decoding, for evaluation, benchmarks and tests: decodes enter a running batch as others finish."""

from collections.abc import Callable, Sequence

from model.checkpoint.config import Checkpoint
from model.cuda.runtime import Runtime
from model.decoding.batch import DecodingBatch, NewDecode
from model.search.results import Hypothesis, Progress
from model.search.spec import DecodeSpec
from model.transformer.transformer import Transformer


def generate(
    transformer: Transformer,
    checkpoint: Checkpoint,
    specs: Sequence[DecodeSpec],
    *,
    max_rows: int = 64,
    on_step: Callable[[list[Progress]], None] | None = None,
    runtime: Runtime | None = None,
) -> list[tuple[Hypothesis, ...]]:
    """Return the hypotheses of each spec, best first, see `decode_all`. `runtime` is passed on to the batch."""
    if not specs:
        return []
    batch = DecodingBatch(
        transformer,
        checkpoint,
        max_rows=max(max_rows, *(spec.beam_size for spec in specs)),
        max_source_tokens=max(len(spec.source_ids) for spec in specs),
        max_target_tokens=max(_max_target_tokens(spec, checkpoint) for spec in specs),
        runtime=runtime,
    )
    return decode_all(batch, specs, on_step=on_step)


def decode_all(
    batch: DecodingBatch, specs: Sequence[DecodeSpec], *, on_step: Callable[[list[Progress]], None] | None = None
) -> list[tuple[Hypothesis, ...]]:
    """Return the hypotheses of each spec, best first, from an idle batch. The decode of `specs[i]` has the id i.

    Raises ArithmeticError if the checkpoint computes numbers that are not finite.

    Decodes enter longest source first, once a quarter of the rows is free, so that several sources are encoded
    together. `on_step` receives the progress of all running decodes after each step. Without it, several tokens are
    decoded at once, until enough rows are free.
    """
    finished: dict[int, tuple[Hypothesis, ...]] = {}
    num_entering = batch.max_rows // 4
    waiting = sorted(range(len(specs)), key=lambda index: len(specs[index].source_ids))
    while waiting or batch.num_rows:
        entering: list[int] = []
        num_free = batch.num_free_rows
        if batch.num_rows and num_free < num_entering:
            num_free = 0
        while waiting and specs[waiting[-1]].beam_size <= num_free:
            entering.append(waiting.pop())
            num_free -= specs[entering[-1]].beam_size
        encoded = batch.encode([specs[index].source_ids for index in entering])
        batch.add(
            [
                NewDecode(index, specs[index], hidden_states)
                for index, hidden_states in zip(entering, encoded.hidden_states, strict=True)
            ]
        )
        step = batch.step(
            max_tokens=batch.num_tokens_ahead if on_step is None else 1,
            max_ended=max(1, num_entering - batch.num_free_rows) if waiting else None,
        )
        for progress in step:
            if progress.problem:
                raise ArithmeticError(progress.problem)
        finished |= {progress.decode_id: progress.hypotheses for progress in step if progress.hypotheses}
        if on_step is not None:
            on_step(step)
    return [finished[index] for index in range(len(specs))]


def _max_target_tokens(spec: DecodeSpec, checkpoint: Checkpoint) -> int:
    return min(len(spec.decoder_prompt) + spec.max_new_tokens, checkpoint.generation.max_length)
