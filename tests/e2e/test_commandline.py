"""The client commands, as processes, against a server and without one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.bench.loopback import wait_until
from service.commandline.journal import NAME
from tests.support.commandline import run, start
from tests.support.documents import FILES
from tests.support.server import RunningServer

TEXTS = ["The dog is in the garden.", "Good morning.  ", "", "I am reading a book."]
Kakehashi = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def kakehashi(server: RunningServer, tmp_path: Path) -> Kakehashi:
    """Arguments to the ended process of a command that works with the server."""
    return lambda name, *arguments, given=b"": run(
        name, "--url", server.url, *arguments, directory=tmp_path, given=given
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 files of all kinds, with more texts than are in flight at once."""
    folder = tmp_path / "in"
    for number in range(12):
        path = folder / f"part {number % 3}" / f"{number:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"Dog {number} saw cat {line}.\n" for line in range(50)))
    for suffix, data in [*FILES.items(), (".SRT", FILES[".srt"])]:
        (folder / f"{suffix[1:]}{suffix}").write_bytes(data)
    return folder


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_arguments_and_standard_input_give_what_the_api_gives(kakehashi: Kakehashi, server: RunningServer) -> None:
    expected = [server.text(text, "en", lang) if text else "" for text in TEXTS for lang in ("de", "ja")]
    options = ["--from", "en", "--to", "de,ja"]
    for done in (
        kakehashi("translate", *options, *TEXTS),
        kakehashi("translate", *options, given="\n".join(TEXTS).encode()),
        kakehashi("translate", *options, "--stream", given="".join(f"{text}\n" for text in TEXTS).encode()),
    ):
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode().removesuffix("\n").split("\n") == expected


def test_beams_are_those_of_the_api(kakehashi: Kakehashi, server: RunningServer) -> None:
    done = kakehashi("translate", "--from", "en", "--to", "fr", "--beam-size", "4", TEXTS[3])
    assert done.stdout.decode() == server.text(TEXTS[3], "en", "fr", beam_size=4) + "\n"


def test_without_a_server_the_answers_are_the_same(server: RunningServer, tmp_path: Path) -> None:
    expected = "".join(server.text(text, "en", "de") + "\n" for text in TEXTS if text).encode()
    given = "".join(f"{text}\n" for text in TEXTS if text).encode()
    settings = {"KAKEHASHI_WORKERS": "1", "KAKEHASHI_API_KEY": "of no use", "KAKEHASHI_API_KEYS": "nor:this"}
    options = ["translate", "--from", "en", "--to", "de", "--stream"]
    done = run(*options, directory=tmp_path, given=given, settings=settings)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", expected)


def test_a_folder_that_was_killed_half_way_and_resumed_is_that_of_a_whole_run(
    kakehashi: Kakehashi, folder: Path, server: RunningServer, tmp_path: Path
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    options = ["--from", "en", "--to", "de"]
    assert kakehashi("translate", *options, "--output", whole, folder).returncode == 0
    with start("translate", *options, "--output", resumed, "--url", server.url, folder, directory=tmp_path) as process:
        journal = resumed / NAME
        wait_until(lambda: journal.exists() and journal.stat().st_size, "some texts are translated")
        process.kill()
    assert contents(resumed).keys() != contents(whole).keys()
    done = kakehashi("translate", *options, "--output", resumed, "--resume", folder)
    assert done.returncode == 0
    assert b" texts were translated before" in done.stderr
    assert contents(resumed) == contents(whole)
    assert len(contents(whole)) == 20


def test_ctrl_c_and_a_closed_pipe_are_quiet(server: RunningServer, tmp_path: Path) -> None:
    for end, status in ((lambda each: each.send_signal(2), 130), (lambda each: each.stdout.close(), 141)):
        with start("translate", "--from", "en", "--to", "de", "--url", server.url, directory=tmp_path) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(b"One.\n")
            process.stdin.flush()
            assert process.stdout.readline()
            end(process)
            if status == 141:
                process.stdin.write(b"Two.\n")
                process.stdin.flush()
            assert process.wait(60) == status
            assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["--from", "en", "--to", "xx"],
            1,
            "'xx' cannot be reached from 'en', which is translated into de, fr",
        ),
        (["--from", "xx", "--to", "de"], 1, "source_lang 'xx' is not one of en, de, fr, es, ja"),
        (["--from", "en", "--to", "de", "--beam-size", "9"], 1, "beam_size: Input should be less than or equal to 8"),
        (["--from", "en", "--to", "de/fr"], 2, "'de/fr' is not a language code"),
        (["--from", "en", "--to", "de", "--resume"], 2, "need --output DIR"),
        (["--from", "en", "--to", "de", "--stream", "--output", "out"], 2, "--stream is for standard output"),
        (["--from", "en", "--to", "de", "--url", "127.0.0.1:9"], 3, "http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_what_cannot_be_done_is_named(kakehashi: Kakehashi, arguments: list[str], status: int, message: str) -> None:
    done = kakehashi("translate", "A text.", *arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.decode()


def test_a_file_without_an_output_is_not_taken_for_a_text(kakehashi: Kakehashi, folder: Path) -> None:
    for path in (folder, folder / "txt.txt"):
        done = kakehashi("translate", "--to", "de", path)
        assert done.returncode == 2
        assert f"{path} is a file or directory: give --output DIR" in done.stderr.decode()


def test_a_run_that_is_refused_leaves_no_file(kakehashi: Kakehashi, folder: Path, tmp_path: Path) -> None:
    done = kakehashi("translate", "--from", "en", "--to", "xx", "--output", tmp_path / "out", folder)
    assert done.returncode == 1
    assert "target_lang 'xx' cannot be reached" in done.stderr.decode()
    assert contents(tmp_path / "out") == {}


def test_languages_are_detected_alike_with_a_server_and_without(kakehashi: Kakehashi, tmp_path: Path) -> None:
    given = b"Der Hund ist im Garten.\n\nWhere is the station?\n"
    done = kakehashi("detect", given=given)
    codes, confidences = zip(*(line.split("\t") for line in done.stdout.decode().splitlines()), strict=True)
    assert codes[::2] == ("de", "en")
    assert [float(each) > 0.5 for each in confidences] == [True, False, True]
    assert run("detect", directory=tmp_path, given=given).stdout == done.stdout


def test_the_source_language_is_detected_for_each_line(kakehashi: Kakehashi, server: RunningServer) -> None:
    done = kakehashi("translate", "--to", "fr", "Der Hund ist im Garten.", "Where is the station?")
    expected = [server.text("Der Hund ist im Garten.", "de", "fr"), server.text("Where is the station?", "en", "fr")]
    assert done.stdout.decode().splitlines() == expected


def test_languages_are_listed_alike_with_a_server_and_without(kakehashi: Kakehashi, tmp_path: Path) -> None:
    done = kakehashi("languages")
    assert done.stdout.decode().splitlines()[:2] == ["code  name      targets", "en    English   de fr es ja"]
    assert run("languages", directory=tmp_path).stdout == done.stdout
