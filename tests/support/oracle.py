"""Translate single sentences offline, so that tests can compare a server's answers.

In float32 it has no caches and recomputes the whole target for every token. In other compute types it is the engine's
own search with a single decode.
"""

import re
from pathlib import Path

import torch

from loadtests.bench.source_lines import read_sources
from model.checkpoint.config import read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.generate import generate
from model.decoding.oracle import decode_alone
from model.search.spec import DecodeSpec
from model.tokenizers.loading import load_tokenizer
from model.transformer.compute_types import ComputeType
from model.transformer.hardware import fastest_compute_type

CPU = torch.device("cpu")
ONE_SENTENCE = re.compile(r"[^.!?。！？…:;]+[.!?。！？]")


def sentences(language: str, *, most: int) -> list[str]:
    """Texts of the test data that are certainly a single sentence."""
    texts = [source.text for source in read_sources() if source.source_lang == language]
    return [text for text in dict.fromkeys(texts) if ONE_SENTENCE.fullmatch(text)][:most]


class Oracle:
    def __init__(self, directory: Path, compute_type: ComputeType | None = None) -> None:
        """If `compute_type` is None, the server's default applies."""
        self._checkpoint = read_checkpoint(directory, name="oracle")
        self._compute_type = compute_type or fastest_compute_type(self._checkpoint.config, CPU)
        self._transformer = load_transformer(self._checkpoint, compute_type=self._compute_type, device=CPU)
        self.tokenizer = load_tokenizer(self._checkpoint)

    def sentences(self, language: str, *, most: int) -> list[str]:
        """Sentences whose characters are all in the vocabulary; a server keeps other characters out of the model."""
        return [text for text in sentences(language, most=1000) if not self.tokenizer.alphabet.lacking(text)][:most]

    def direct_pairs(self) -> list[tuple[str, str]]:
        sources = self.tokenizer.source_languages
        return [(source, target) for source in sources for target in self.tokenizer.targets_of(source)]

    @torch.inference_mode()
    def logits(self, sentence: str, source_lang: str, target_lang: str, token_ids: list[int]) -> torch.Tensor:
        """The logits [T, N] of the steps that chose `token_ids`, from one teacher-forced forward pass."""
        source_ids = self.tokenizer.encode_source(sentence, source_lang=source_lang, target_lang=target_lang)
        prompt = self.tokenizer.decoder_prompt(target_lang)
        decoder_input_ids = torch.tensor([[*prompt, *token_ids[:-1]]])
        logits = self._transformer(torch.tensor([source_ids]), torch.tensor([len(source_ids)]), decoder_input_ids)
        return logits[0, len(prompt) - 1 :]

    def translate(self, sentence: str, source_lang: str, target_lang: str, *, max_new_tokens: int) -> str:
        if self._compute_type != "float32":
            (found,) = self.search([sentence], source_lang, target_lang, max_new_tokens=max_new_tokens, beam_size=1)
            return found[0][0]
        spec = self._spec(sentence, source_lang, target_lang, max_new_tokens=max_new_tokens, beam_size=1)
        _, (best,) = decode_alone(self._transformer, self._checkpoint, spec)
        return self.tokenizer.decode(best.token_ids)

    def search(
        self, sentences: list[str], source_lang: str, target_lang: str, *, max_new_tokens: int, beam_size: int
    ) -> list[list[tuple[str, float]]]:
        """The hypotheses of a beam search on every sentence, as text and score, best first."""
        specs = [
            self._spec(text, source_lang, target_lang, max_new_tokens=max_new_tokens, beam_size=beam_size)
            for text in sentences
        ]
        found = generate(self._transformer, self._checkpoint, specs)
        return [[(self.tokenizer.decode(each.token_ids), each.score) for each in ranked] for ranked in found]

    def _spec(
        self, sentence: str, source_lang: str, target_lang: str, *, max_new_tokens: int, beam_size: int
    ) -> DecodeSpec:
        """A spec that returns all hypotheses, without the repetition guard."""
        return DecodeSpec(
            self._checkpoint.name,
            tuple(self.tokenizer.encode_source(sentence, source_lang=source_lang, target_lang=target_lang)),
            tuple(self.tokenizer.decoder_prompt(target_lang)),
            max_new_tokens,
            beam_size=beam_size,
            num_hypotheses=beam_size,
            repetition_guard=False,
        )
