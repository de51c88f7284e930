"""The search of `transformers` on a checkpoint's weights, by default in float32 on the CPU, for comparison."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM

from model.checkpoint.config import Checkpoint

CPU = torch.device("cpu")


class TransformersPeer:
    def __init__(
        self, checkpoint: Checkpoint, *, device: torch.device = CPU, dtype: torch.dtype = torch.float32
    ) -> None:
        self._config = checkpoint.config
        self._device = device
        self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(checkpoint.directory, dtype=dtype).eval().to(device)
        self._generation = self._model.generation_config

    def generation(self, *, beam_size: int, max_length: int) -> Any:
        """The checkpoint's own generation rules for this search; `max_length` counts the prompt too."""
        generation = deepcopy(self._generation)
        generation.num_beams, generation.do_sample, generation.max_length = beam_size, False, max_length
        if beam_size == 1:  # unset options of beam search, or it warns
            generation.early_stopping, generation.length_penalty = False, 1.0
        return generation

    @torch.inference_mode()
    def search(
        self,
        sources: Sequence[Sequence[int]],
        prompts: Sequence[Sequence[int]],
        generation: Any,
        *,
        batch_size: int,
        forces_language: bool = False,
        on_done: Callable[[int], object] = lambda _: None,
    ) -> list[list[int]]:
        """Return the best target of each source, without the prompt. `on_done` is called with the size of each batch.

        Sources of similar length form a padded batch. With `forces_language`, the second token of a prompt of two is
        passed as usual, as a forced token, and counts for the length penalty. All prompts must have the same length,
        and with `forces_language` they must be equal.
        """
        # Set on the model: `generate` fills None in a configuration that it is passed from the model's own.
        self._model.generation_config = generation
        order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
        targets: list[list[int]] = [[] for _ in order]
        for batch in (order[start : start + batch_size] for start in range(0, len(order), batch_size)):
            found = self._search_batch(
                [sources[index] for index in batch], [prompts[index] for index in batch], forces_language
            )
            for index, target in zip(batch, found, strict=True):
                targets[index] = target
            on_done(len(batch))
        return targets

    def _search_batch(
        self, sources: list[Sequence[int]], prompts: list[Sequence[int]], forces_language: bool
    ) -> list[list[int]]:
        length = len(prompts[0])
        if forces_language and length <= 2:
            start: dict[str, Any] = {"forced_bos_token_id": prompts[0][1]} if length == 2 else {}
        else:
            start = {"decoder_input_ids": torch.tensor(prompts, device=self._device)}
        lengths = torch.tensor([len(source) for source in sources])
        width, pad_token_id = int(lengths.max()), self._config.pad_token_id
        targets = self._model.generate(
            input_ids=torch.tensor(
                [[*source, *[pad_token_id] * (width - len(source))] for source in sources], device=self._device
            ),
            attention_mask=(torch.arange(width) < lengths[:, None]).long().to(self._device),
            **start,
        )
        return [self._until_end(target) for target in targets[:, length:].tolist()]

    def _until_end(self, target: list[int]) -> list[int]:
        """Cut off the batch's padding. A target without an end token has the full length."""
        eos_token_id = self._config.eos_token_id
        return target[: target.index(eos_token_id) + 1] if eos_token_id in target else target
