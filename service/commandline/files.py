"""Translate files into files: texts of several files share requests, and a file is written once it is complete."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from service.commandline.chunks import chunked, run_in_order
from service.commandline.documents.document import Document, DocumentError, DocumentKind, TextFormat
from service.commandline.lines import Translations
from service.commandline.sources import Source

TranslateTexts = Callable[[Sequence[str], TextFormat], Awaitable[list[Translations]]]


@dataclass(frozen=True, slots=True)
class _Chunk:
    texts: list[str]
    text_format: TextFormat


@dataclass(frozen=True, slots=True)
class _Open:
    source: Source
    document: Document
    num_texts: int
    num_other_bytes: int


class FileTranslator:
    """`num_failed` counts the files that could not be read or written; `note` is called with the reason for each."""

    def __init__(
        self,
        kinds: Mapping[str, DocumentKind],
        translate: TranslateTexts,
        *,
        note: Callable[[str], None],
        on_progress: Callable[[int], object],
    ) -> None:
        """`on_progress` is called with the number of source bytes finished since its last call."""
        self._kinds = kinds
        self._translate = translate
        self._note = note
        self._on_progress = on_progress
        self._open: deque[_Open] = deque()
        self._translated: deque[Translations] = deque()
        self.num_failed = 0

    async def run(self, sources: Sequence[Source]) -> None:
        async def chunks() -> AsyncIterator[_Chunk]:
            for text_format, pairs in groupby(self._texts(sources), key=itemgetter(0)):
                for texts in chunked(text for _, text in pairs):
                    yield _Chunk(texts, text_format)

        async def translate(chunk: _Chunk) -> list[Translations]:
            return await self._translate(chunk.texts, chunk.text_format)

        await run_in_order(chunks(), translate, self._deliver)
        self._write_finished()

    def _texts(self, sources: Sequence[Source]) -> Iterator[tuple[TextFormat, str]]:
        for source in sources:
            try:
                data = source.path.read_bytes()
                document = Document.of(data, self._kinds[source.suffix])
                texts = document.texts()
            except (OSError, DocumentError) as error:
                self._fail(source.path, error)
                continue
            self._open.append(_Open(source, document, len(texts), len(data) - _num_bytes(texts)))
            yield from ((document.kind.text_format, text) for text in texts)

    async def _deliver(self, chunk: _Chunk, translations: list[Translations]) -> None:
        self._translated.extend(translations)
        self._on_progress(_num_bytes(chunk.texts))
        self._write_finished()

    def _write_finished(self) -> None:
        while self._open and self._open[0].num_texts <= len(self._translated):
            finished = self._open.popleft()
            found = [self._translated.popleft() for _ in range(finished.num_texts)]
            for index, path in enumerate(finished.source.outputs):
                try:
                    write_whole(path, finished.document.with_translations([each[index] for each in found]))
                except OSError as error:
                    self._fail(path, error)
            self._on_progress(finished.num_other_bytes)

    def _fail(self, path: Path, error: Exception) -> None:
        self.num_failed += 1
        reason = error.strerror if isinstance(error, OSError) else error
        self._note(f"{path}: left out: {reason}")


def _num_bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically, even if the process is killed; a partial file left by a kill is overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
