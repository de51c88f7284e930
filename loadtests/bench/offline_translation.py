"""Translate requests as the service does but without a server: its text handling, and the engine in this process."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from model.checkpoint.bundled import BUNDLED_MODEL
from model.checkpoint.loading import load_transformer
from model.decoding.generate import generate
from model.search.results import Progress
from model.transformer.transformer import Transformer
from service.app import read_model
from service.settings import Settings
from service.text.markup.reading import MARKUP
from service.translation.answer_size import AnswerSize
from service.translation.passage import Passage
from service.translation.passages import Passages
from service.translation.reading_order import ReadingOrder
from service.translation.request import TranslationRequest
from service.translation.rest import Part
from service.translation.results import Translation
from service.translation.routing import Catalogue, ServedModel
from service.translation.source_text import SourcePart
from service.translation.target_text import TargetText

UNLIMITED_BYTES = 1 << 62


def translation_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of every benchmark that translates parallel text."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--beam-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, default=1)
    return parser


def bundled_translator(*, num_threads: int) -> "OfflineTranslator":
    """A translator with the bundled model in int8. Sets the number of torch's threads to `num_threads`."""
    torch.set_num_threads(num_threads)
    model = read_model(str(BUNDLED_MODEL), Settings())
    return OfflineTranslator(model, load_transformer(model.checkpoint, compute_type="int8", device=torch.device("cpu")))


class OfflineTranslator:
    def __init__(self, model: ServedModel, transformer: Transformer) -> None:
        self._model = model
        self._transformer = transformer
        self._catalogue = Catalogue([model])

    def translate(self, texts: Sequence[str], source_lang: str, target_lang: str, **options: Any) -> list[Translation]:
        """The translation of each text. `options` are those of `TranslationRequest`."""
        request = TranslationRequest(tuple(texts), source_lang, (target_lang,), **options)
        passages = Passages(request, AnswerSize(request, max_bytes=UNLIMITED_BYTES))
        route = self._catalogue.route(source_lang, target_lang)
        reader = passages.reader(self._model, route.legs[0].source_lang)
        language = MARKUP.get(request.format)
        target_texts = []
        for index, text in enumerate(texts):
            markup = language.read(text) if language is not None else None
            plain, known = (text, ()) if markup is None else (markup.text, markup.spans)
            passage = Passage([])

            def add(part: SourcePart, passage: Passage = passage) -> None:
                passages.extend(Part(part, [(passage, route)]))

            reader.read(plain, known=known, glossary=request.glossary, on_part=add)
            target_texts.append(TargetText(index, target_lang, route, passage, markup=markup))
        self._decode(passages)
        return [self._read(target_text, request.num_hypotheses) for target_text in target_texts]

    def _decode(self, passages: Passages) -> None:
        """Decode both legs, and the continuations of decodes that were too short."""
        while specs := passages.take_new():
            decodes = passages.decoded[-len(specs) :]

            def receive(step: list[Progress], decodes: Sequence[Any] = decodes) -> None:
                for progress in step:
                    decoded = decodes[progress.decode_id]
                    if continuation := decoded.receive(progress):
                        passages.go_on(decoded, continuation)

            generate(self._transformer, self._model.checkpoint, specs, on_step=receive)
            for decoded in decodes:
                if decoded.is_over:
                    passages.relay(decoded)

    @staticmethod
    def _read(target_text: TargetText, num_hypotheses: int) -> Translation:
        order = ReadingOrder(target_text, num_hypotheses=num_hypotheses, with_tokens=False, is_streamed=False)
        return next(item for item in order.read() if isinstance(item, Translation))
