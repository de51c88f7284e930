"""The peers: CTranslate2 and `transformers`, on the same token ids as ours."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM
from transformers.utils import logging

from loadtests.bench.sides import Shape
from loadtests.bench.work import Targets, Work


class CTranslate2Engine:
    """Of a checkpoint that `conversion.convert` wrote, where a token is called by its id.

    Names become ids, and the other way round, within the time measured: that is less than a thousandth of it.
    """

    def __init__(self, directory: Path, *, compute_type: str, shape: Shape) -> None:
        self._translator = ctranslate2.Translator(
            str(directory),
            device="cpu",
            compute_type=compute_type,
            inter_threads=shape.num_workers,
            intra_threads=shape.num_threads,
        )

    def translate(self, work: Work) -> Targets:
        # The start token is the model's own; its lengths, and its targets, include what follows that in a prompt.
        prefixes = [names(prompt[1:]) for prompt in work.prompts]
        max_length = work.target_length - 1
        results = self._translator.translate_batch(
            [names(source) for source in work.sources],
            target_prefix=prefixes if any(prefixes) else None,
            beam_size=work.beam_size,
            max_batch_size=work.batch_size,
            max_decoding_length=max_length,
            min_decoding_length=max_length if work.fixed_length else 1,
            return_end_token=True,
        )
        return [
            [int(token) for token in result.hypotheses[0][len(prefix) :]]
            for result, prefix in zip(results, prefixes, strict=True)
        ]


def names(token_ids: tuple[int, ...]) -> list[str]:
    return [str(token_id) for token_id in token_ids]


class TransformersEngine:
    """In float32."""

    def __init__(self, directory: Path) -> None:
        logging.disable_progress_bar()
        self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32).eval()
        self._generation = self._model.generation_config

    @torch.inference_mode()
    def translate(self, work: Work) -> Targets:
        """In batches one after another, each of sources of similar length."""
        # The model's own, for what is None in one that is handed to `generate` is taken from there.
        self._model.generation_config = self._generation_for(work)
        order = sorted(range(len(work.sources)), key=lambda index: len(work.sources[index]))
        targets: Targets = [[] for _ in order]
        for start in range(0, len(order), work.batch_size):
            batch = order[start : start + work.batch_size]
            sources = [work.sources[index] for index in batch]
            prompts = [work.prompts[index] for index in batch]
            for index, target in zip(batch, self._translate_batch(sources, prompts), strict=True):
                targets[index] = target
        return targets

    def _translate_batch(self, sources: list[tuple[int, ...]], prompts: list[tuple[int, ...]]) -> Targets:
        eos_token_id, pad_token_id = self._model.config.eos_token_id, self._model.config.pad_token_id
        input_ids = pad_sequence([torch.tensor(source) for source in sources], True, pad_token_id)
        lengths = torch.tensor([len(source) for source in sources])
        outputs = self._model.generate(
            input_ids=input_ids,
            attention_mask=(torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
            decoder_input_ids=torch.tensor(prompts),
        )
        targets = outputs[:, len(prompts[0]) :].tolist()
        return [target[: target.index(eos_token_id) + 1] if eos_token_id in target else target for target in targets]

    def _generation_for(self, work: Work) -> Any:
        generation = deepcopy(self._generation)
        generation.num_beams, generation.do_sample = work.beam_size, False
        generation.max_length = work.target_length
        if work.beam_size == 1:  # what only beams have a use for is taken back, or it warns
            generation.early_stopping, generation.length_penalty = False, 1.0
        if work.fixed_length:
            generation.min_length, generation.forced_eos_token_id = work.target_length, None
        return generation
