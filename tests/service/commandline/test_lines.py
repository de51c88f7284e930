"""Pipes: as many lines come out as went in, in order, as soon as they can."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.commandline.errors import CommandError, ExitStatus
from service.commandline.lines import as_lines, detect_lines, read_lines, stream_lines, translate_lines
from tests.support.commandline import run
from tests.support.echo_app import echo_app
from tests.support.http_server import serving


class Upper:
    """A translator; `sent` are the texts that it got."""

    def __init__(self, num_targets: int = 1) -> None:
        self.sent: list[str] = []
        self._num_targets = num_targets

    async def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        self.sent += texts
        return [tuple(f"{text.upper()}{'!' * index}" for index in range(self._num_targets)) for text in texts]


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Where to read and where to write; a test that has ended the writing says so by `os.close`."""
    ends = os.pipe()
    yield ends
    os.close(ends[0])


async def piped(given: bytes, translate: Upper, *, num_targets: int = 1) -> bytes:
    with pipe() as (source, sink), pipe() as (result, output):
        os.write(sink, given)
        os.close(sink)
        await translate_lines(read_lines(source), translate, num_targets=num_targets, output=output)
        os.close(output)
        return os.read(result, 1 << 16)


async def test_blank_lines_white_space_and_line_ends_stay_and_are_not_sent() -> None:
    upper = Upper()
    given = b"\n one \r\n\t\n12:30\n\xe3\x81\x82\xe2\x80\xa8x\n\r\nno line break at the end"
    assert await piped(given, upper) == given.decode().upper().encode()
    assert upper.sent == ["one", "あ\u2028x", "no line break at the end"]


async def test_each_target_has_a_line_in_order() -> None:
    assert await piped(b"a\n\nb", Upper(2), num_targets=2) == b"A\nA!\n\n\nB\nB!"


async def test_nothing_gives_nothing() -> None:
    assert await piped(b"", Upper()) == b""


async def test_what_is_not_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(CommandError, match="standard input: line 3 is not UTF-8") as raised:
        await piped(b"a\nb\n\xff\n", Upper())
    assert raised.value.status == ExitStatus.USAGE


async def test_a_line_comes_out_before_the_next_one_is_there() -> None:
    with pipe() as (source, sink), pipe() as (result, output):
        os.write(sink, b"one\n")

        async def blocks() -> AsyncIterator[Sequence[str]]:
            async for block in read_lines(source):
                yield block
                if block == ["one\n"]:
                    os.write(sink, b"two\n")
                else:
                    os.close(sink)

        await translate_lines(blocks(), Upper(), num_targets=1, output=output)
        os.close(output)
        assert os.read(result, 100) == b"ONE\nTWO\n"


async def test_a_text_of_the_command_line_may_have_several_lines() -> None:
    with pipe() as (result, output):
        await translate_lines(as_lines(["a\nb", "c"]), Upper(), num_targets=1, output=output)
        os.close(output)
        assert os.read(result, 100) == b"A\nB\nC\n"


async def test_each_line_has_its_language() -> None:
    async def detect(texts: Sequence[str]) -> list[tuple[str, float]]:
        return [("de" if "ü" in text else "en", len(text) / 10) for text in texts]

    with pipe() as (result, output):
        await detect_lines(as_lines(["für", "", " a "]), detect, output=output)
        os.close(output)
        assert os.read(result, 100) == b"de\t0.3\nen\t0.0\nen\t0.1\n"


async def test_a_stream_is_written_delta_by_delta_line_by_line() -> None:
    async def letters(text: str, target: str) -> AsyncIterator[str]:
        for letter in f"{text}-{target}":
            yield letter

    with pipe() as (result, output):
        await stream_lines(as_lines([" ab ", "", "c"]), letters, targets=["x", "y"], output=output)
        os.close(output)
        assert os.read(result, 100) == b" ab-x \n ab-y \n\n\nc-x\nc-y\n"


def test_ten_thousand_lines_keep_their_number_and_order(tmp_path: Path) -> None:
    lines = ["" if number % 10 == 3 else f"line {number}" for number in range(10_000)]
    with serving(echo_app()) as server:
        url = f"http://127.0.0.1:{server.port}"
        given = "\n".join(lines).encode()
        done = run("translate", "--from", "en", "--to", "de", "--url", url, directory=tmp_path, given=given)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split("\n") == [line and f"{line} de" for line in lines]
