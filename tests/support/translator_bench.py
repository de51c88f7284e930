"""A translator on a scripted engine, with the tokenizer of the bundled checkpoint."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from model.checkpoint.config import read_checkpoint
from model.tokenizers.loading import load_tokenizer
from service.text.language_detector import LanguageDetector
from service.translation.active import ActiveTranslation
from service.translation.request import TranslationRequest
from service.translation.results import TokenEvent, Translation
from service.translation.routing import Catalogue, ServedModel
from service.translation.translator import Translator
from tests.support.checkpoints import BUNDLED
from tests.support.detectors import language_detector
from tests.support.fake_engine import FakeEngine

MAX_ANSWER_BYTES = 16 << 20


@cache
def bundled_model() -> ServedModel:
    checkpoint = read_checkpoint(BUNDLED, name="bundled")
    tokenizer = load_tokenizer(checkpoint)
    return ServedModel(
        checkpoint,
        tokenizer,
        max_source_tokens=512,
        max_source_pieces=512 - tokenizer.num_source_specials,
        max_new_tokens=256,
    )


@dataclass
class Pace:
    """An observer that records its values."""

    first: list[float] = field(default_factory=list)
    following: list[float] = field(default_factory=list)

    def observe_first_token(self, seconds: float) -> None:
        self.first.append(seconds)

    def observe_next_token(self, seconds: float) -> None:
        self.following.append(seconds)


class Bench:
    def __init__(
        self,
        engine: FakeEngine | None = None,
        *,
        models: list[ServedModel] | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        detector: LanguageDetector | None = None,
    ) -> None:
        self.engine = engine or FakeEngine()
        self.pace = Pace()
        self.catalogue = Catalogue(models or [bundled_model()])
        self.translator = Translator(
            self.catalogue,
            detector or language_detector(),
            self.engine,  # type: ignore[arg-type]
            max_answer_bytes=max_answer_bytes,
            observer=self.pace,
        )

    async def start(
        self, *texts: str, source: str | None = "en", targets: tuple[str, ...] = ("de",), **options: Any
    ) -> ActiveTranslation:
        prepared = await self.translator.prepare(TranslationRequest(texts, source, targets, **options))
        return self.translator.submit(prepared, deadline=1e9)

    async def plain(self, *texts: str, **options: Any) -> list[Translation]:
        active = await self.start(*texts, **options)
        return await active.drain()

    async def events(self, *texts: str, **options: Any) -> list[TokenEvent | Translation]:
        active = await self.start(*texts, is_streamed=True, **options)
        events: list[TokenEvent | Translation] = []
        while not active.is_over:
            events += await active.next()
        return events
