"""Translate standard input to standard output line by line; texts of the command line count as lines."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from service.commandline.chunks import chunked, run_in_order
from service.commandline.daemon_thread import read_some, write_all
from service.commandline.documents.document import DocumentError, decode_utf8, has_letters, split_core
from service.commandline.documents.lines import on_one_line
from service.commandline.errors import CommandError, ExitStatus

Translations = tuple[str, ...]
"""The translations of one text, one for each target."""
TranslateTexts = Callable[[Sequence[str]], Awaitable[list[Translations]]]
DetectTexts = Callable[[Sequence[str]], Awaitable[list[tuple[str, float]]]]
"""Maps texts to language codes and confidences."""
StreamText = Callable[[str, str], AsyncIterator[str]]
"""Maps a text and a target language to the deltas of the translation."""
Blocks = AsyncIterator[Sequence[str]]
"""Blocks of lines with their line breaks; a block has all lines that were available at once."""


async def read_lines(descriptor: int) -> Blocks:
    """Read blocks of lines from a file descriptor. Raises CommandError if they are not UTF-8."""
    rest, num_lines = b"", 0
    while data := await read_some(descriptor):
        whole, line_break, rest = (rest + data).rpartition(b"\n")
        if line_break:
            yield _decoded(whole + line_break, num_lines)
            num_lines += whole.count(b"\n") + 1
    if rest:
        yield _decoded(rest, num_lines)


async def as_lines(texts: Iterable[str]) -> Blocks:
    yield [f"{text}\n" for text in texts]


async def translate_lines(blocks: Blocks, translate: TranslateTexts, *, num_targets: int, output: int) -> None:
    """Write the translations of each line, one a line, as soon as those of all lines before are written."""

    async def work(lines: list[str]) -> list[Translations]:
        cores = [split_core(line)[1] for line in lines]
        texts = list(filter(has_letters, cores))
        found = iter(await translate(texts) if texts else [])
        return [next(found) if has_letters(core) else (core,) * num_targets for core in cores]

    async def deliver(lines: list[str], translations: list[Translations]) -> None:
        await write_all(output, "".join(map(_printed, lines, translations)).encode())

    await run_in_order(_chunks(blocks), work, deliver)


async def detect_lines(blocks: Blocks, detect: DetectTexts, *, output: int) -> None:
    """Write for each line its language, a tab and the confidence."""

    async def work(lines: list[str]) -> list[tuple[str, float]]:
        return await detect([split_core(line)[1] for line in lines])

    async def deliver(_: list[str], languages: list[tuple[str, float]]) -> None:
        await write_all(output, "".join(f"{code}\t{confidence}\n" for code, confidence in languages).encode())

    await run_in_order(_chunks(blocks), work, deliver)


async def stream_lines(blocks: Blocks, stream: StreamText, *, targets: Sequence[str], output: int) -> None:
    """Translate one line and target after another, and write each delta at once."""
    async for block in blocks:
        for line in block:
            before, core, after = split_core(line)
            for target in targets:
                await write_all(output, before.encode())
                async for delta in stream(core, target) if has_letters(core) else _whole(core):
                    await write_all(output, _fitting(delta, core).encode())
                is_last = target == targets[-1]
                await write_all(output, (after if is_last else _ended(after)).encode())


async def _chunks(blocks: Blocks) -> AsyncIterator[list[str]]:
    async for block in blocks:
        for chunk in chunked(block):
            yield chunk


def _decoded(data: bytes, num_lines_before: int) -> list[str]:
    try:
        text = decode_utf8(data, num_lines_before=num_lines_before)
    except DocumentError as error:
        raise CommandError(f"standard input: {error}", status=ExitStatus.USAGE) from error
    return [f"{line}\n" for line in text.split("\n")[:-1]] if text.endswith("\n") else [text]


def _printed(line: str, translations: Translations) -> str:
    before, core, after = split_core(line)
    lines = [before + _fitting(translation, core) + after for translation in translations]
    return "".join([*map(_ended, lines[:-1]), lines[-1]])


def _fitting(translation: str, core: str) -> str:
    return translation if "\n" in core else on_one_line(translation)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


async def _whole(text: str) -> AsyncIterator[str]:
    yield text
