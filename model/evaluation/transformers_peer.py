"""The search of `transformers`, on a checkpoint's weights in float32, to compare with."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM

from model.checkpoint.config import Checkpoint

MAX_BATCH_ROWS = 64


class TransformersSearch:
    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(checkpoint.directory, dtype=torch.float32).eval()

    @torch.inference_mode()
    def search(
        self,
        sources: Sequence[list[int]],
        prompt: tuple[int, ...],
        *,
        beam_size: int,
        on_done: Callable[[int], object],
    ) -> list[list[int]]:
        """The best target of each source, without the prompt. `on_done` is given how many were found just now.

        Sources of similar length go together into a padded batch.
        """
        order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
        size = max(1, MAX_BATCH_ROWS // beam_size)
        targets: dict[int, list[int]] = {}
        for batch in (order[start : start + size] for start in range(0, len(order), size)):
            found = self._search_batch([sources[index] for index in batch], prompt, beam_size)
            targets |= zip(batch, found, strict=True)
            on_done(len(batch))
        return [targets[index] for index in range(len(sources))]

    def _search_batch(self, sources: list[list[int]], prompt: tuple[int, ...], beam_size: int) -> list[list[int]]:
        options = self._options(beam_size)
        if len(prompt) == 2:
            options["forced_bos_token_id"] = prompt[1]  # as one usually calls it: it counts for the length penalty
        elif len(prompt) > 2:
            options["decoder_input_ids"] = torch.tensor([prompt] * len(sources))
        lengths = torch.tensor([len(source) for source in sources])
        width = int(lengths.max())
        pad_token_id = self._checkpoint.config.pad_token_id
        targets = self._model.generate(
            input_ids=torch.tensor([source + [pad_token_id] * (width - len(source)) for source in sources]),
            attention_mask=(torch.arange(width) < lengths[:, None]).long(),
            **options,
        )
        return [self._until_end(target) for target in targets[:, len(prompt) :].tolist()]

    def _options(self, beam_size: int) -> dict[str, Any]:
        generation = self._checkpoint.generation
        options = {"num_beams": beam_size, "do_sample": False, "max_length": generation.max_length}
        if beam_size == 1:  # what only beams have a use for is taken back, or it warns
            return {**options, "early_stopping": False, "length_penalty": 1.0}
        return {**options, "early_stopping": generation.early_stopping, "length_penalty": generation.length_penalty}

    def _until_end(self, target: list[int]) -> list[int]:
        """Without what pads the batch: up to the end token or, where there is none, before the padding."""
        eos_token_id, pad_token_id = self._checkpoint.config.eos_token_id, self._checkpoint.config.pad_token_id
        if eos_token_id in target:
            return target[: target.index(eos_token_id) + 1]
        return target[: target.index(pad_token_id)] if pad_token_id in target else target
