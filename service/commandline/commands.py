"""The client commands, run with parsed arguments. Translations go to stdout, everything else to stderr."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.commandline.bench import run_bench
from service.commandline.client import Client, TranslationOptions
from service.commandline.connect import connect
from service.commandline.daemon_thread import write_all
from service.commandline.documents.document import DocumentKind, TextFormat
from service.commandline.documents.kinds import document_kinds
from service.commandline.errors import CommandError, ExitStatus
from service.commandline.files import FileTranslator
from service.commandline.journal import NAME, Journal
from service.commandline.lines import (
    Blocks,
    Translations,
    as_lines,
    detect_lines,
    read_lines,
    stream_lines,
    translate_lines,
)
from service.commandline.sources import find_sources

STDIN, STDOUT = 0, 1


def run(flags: argparse.Namespace) -> int:
    """Run a client command. Returns its exit status."""
    commands: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, ExitStatus]]] = {
        "translate": _translate,
        "languages": _languages,
        "detect": _detect,
    }
    try:
        if flags.command == "bench":
            run_bench(flags.arguments)
        return asyncio.run(commands[flags.command](flags))
    except CommandError as error:
        note(str(error))
        return error.status
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        return ExitStatus.PIPE_CLOSED
    except OSError as error:  # such as a full disk, or a directory without write permission
        note(str(error))
        return ExitStatus.FAILED


def note(message: str) -> None:
    print(f"kakehashi: {message}", file=sys.stderr)


async def _translate(flags: argparse.Namespace) -> ExitStatus:
    kinds = document_kinds(columns=flags.columns, keys=flags.keys)
    _check(flags, kinds)
    options = TranslationOptions(
        target_langs=flags.target_langs,
        source_lang=flags.source_lang,
        beam_size=flags.beam_size,
        model=flags.model if flags.url else None,
        priority="bulk" if flags.output else "interactive",
    )
    if flags.output:
        return await _translate_files(flags, options, kinds)
    async with _connected(flags, needs_workers=True) as client:
        blocks = _blocks(flags)
        if flags.stream:

            def stream(text: str, target: str) -> AsyncIterator[str]:
                return client.stream(text, replace(options, target_langs=(target,)))

            await stream_lines(blocks, stream, targets=options.target_langs, output=STDOUT)
        else:
            await translate_lines(
                blocks,
                lambda texts: client.translate(texts, options),
                num_targets=len(options.target_langs),
                output=STDOUT,
            )
    return ExitStatus.DONE


async def _translate_files(
    flags: argparse.Namespace, options: TranslationOptions, kinds: Mapping[str, DocumentKind]
) -> ExitStatus:
    from tqdm import tqdm

    sources, others = find_sources(flags.inputs, targets=options.target_langs, output=flags.output, suffixes=kinds)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        note(f"left out, not of a kind that is translated: {others[0]}{more}")
    decides = [flags.url, flags.model, options.source_lang, options.target_langs, options.beam_size]
    journal = Journal(flags.output / NAME, options=decides, resume=flags.resume)
    if journal.num_known:
        note(f"{journal.num_known} texts were translated before")
    async with _connected(flags, needs_workers=True) as client:

        def translate(texts: Sequence[str], text_format: TextFormat) -> Awaitable[list[Translations]]:
            sent = replace(options, text_format=text_format)
            return journal.translate(texts, lambda new: client.translate(new, sent), text_format=text_format)

        num_bytes = sum(source.path.stat().st_size for source in sources)
        with tqdm(total=num_bytes, unit="B", unit_scale=True, disable=None, file=sys.stderr) as progress:
            translator = FileTranslator(
                kinds,
                translate,
                note=note,
                on_progress=progress.update,
            )
            try:
                await translator.run(sources)
            except (CommandError, asyncio.CancelledError):
                if journal.num_known:
                    note(f"{journal.num_known} texts are translated: the same command with --resume goes on from there")
                raise
            finally:
                journal.close()
    journal.remove()
    return ExitStatus.FAILED if translator.num_failed else ExitStatus.DONE


def _check(flags: argparse.Namespace, kinds: Mapping[str, DocumentKind]) -> None:
    """Raise CommandError if the arguments contradict each other."""
    if flags.output is None:
        if flags.resume or flags.columns or flags.keys:
            raise _wrong("--resume, --columns and --keys are for files, which need --output DIR")
        for text in flags.inputs:
            if _is_meant_as_file(text, kinds):
                raise _wrong(
                    f"{text} is a file or directory: give --output DIR for its translation. "
                    "As a text, pass it on standard input"
                )
    elif flags.stream:
        raise _wrong("--stream is for standard output, --output for files")
    elif not flags.inputs:
        raise _wrong("--output is for files and directories: name some")


def _is_meant_as_file(text: str, kinds: Mapping[str, DocumentKind]) -> bool:
    path = Path(text)
    try:
        return bool(text) and (path.is_dir() or (path.suffix.lower() in kinds and path.is_file()))
    except (OSError, ValueError):  # longer than a path can be
        return False


def _wrong(message: str) -> CommandError:
    return CommandError(message, status=ExitStatus.USAGE)


async def _languages(flags: argparse.Namespace) -> ExitStatus:
    async with _connected(flags, needs_workers=False) as client:
        found = await client.languages()
    rows = [("code", "name", "targets"), *((each["code"], each["name"], " ".join(each["targets"])) for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = "".join(f"{code:{widths[0]}}  {name:{widths[1]}}  {targets}\n" for code, name, targets in rows)
    await write_all(STDOUT, table.encode())
    return ExitStatus.DONE


async def _detect(flags: argparse.Namespace) -> ExitStatus:
    model = flags.model if flags.url else None
    async with _connected(flags, needs_workers=False) as client:
        await detect_lines(_blocks(flags), lambda texts: client.detect(texts, model=model), output=STDOUT)
    return ExitStatus.DONE


@asynccontextmanager
async def _connected(flags: argparse.Namespace, *, needs_workers: bool) -> AsyncIterator[Client]:
    async with connect(url=flags.url, api_key=flags.api_key, model=flags.model, needs_workers=needs_workers) as http:
        yield Client(http, note=note)


def _blocks(flags: argparse.Namespace) -> Blocks:
    """The texts of the command line, or standard input."""
    if flags.inputs:
        for text in flags.inputs:
            if not text.isascii() and text != text.encode(errors="replace").decode():
                raise _wrong(f"{text!r} is not UTF-8")
        return as_lines(flags.inputs)
    if sys.stdin.isatty():
        note("reading the lines that you type; Ctrl-D ends")
    return read_lines(STDIN)
