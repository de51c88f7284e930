"""The peers: CTranslate2 and `transformers`, on the same token ids as our engine."""

from pathlib import Path

import ctranslate2
from transformers.utils import logging

from loadtests.bench.sides import Shape
from loadtests.bench.work import Targets, Work
from model.checkpoint.config import read_checkpoint
from model.evaluation.transformers_peer import TransformersPeer


class CTranslate2Backend:
    """CTranslate2 on a checkpoint from `conversion.convert`, which names tokens by their ids.

    The timing includes the conversion between names and ids, which is less than a thousandth of it.
    """

    def __init__(
        self, directory: Path, *, compute_type: str, shape: Shape, device: str = "cpu", device_index: int = 0
    ) -> None:
        self._translator = ctranslate2.Translator(
            str(directory),
            device=device,
            device_index=device_index,
            compute_type=compute_type,
            inter_threads=shape.num_workers,
            intra_threads=shape.num_threads,
        )

    def translate(self, work: Work) -> Targets:
        # CTranslate2 adds the start token; its lengths and targets include the rest of the prompt.
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


class TransformersBackend:
    """`transformers` in float32."""

    def __init__(self, directory: Path) -> None:
        logging.disable_progress_bar()
        self._peer = TransformersPeer(read_checkpoint(directory, name=directory.name))

    def translate(self, work: Work) -> Targets:
        generation = self._peer.generation(beam_size=work.beam_size, max_length=work.target_length)
        if work.fixed_length:
            generation.min_length, generation.forced_eos_token_id = work.target_length, None
        return self._peer.search(work.sources, work.prompts, generation, batch_size=work.batch_size)
