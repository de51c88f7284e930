"""Which files are translated, where their translations go, and what becomes of those that cannot be read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from service.commandline.chunks import MAX_TEXTS
from service.commandline.documents.document import TextFormat
from service.commandline.documents.kinds import document_kinds
from service.commandline.errors import CommandError, ExitStatus
from service.commandline.files import FileTranslator, write_whole
from service.commandline.sources import Source, find_sources

KINDS = document_kinds()


async def shout(texts: Sequence[str], text_format: TextFormat = "text") -> list[tuple[str, ...]]:
    """Into two languages."""
    assert text_format == ("html" if "<" in texts[0] else "text")
    return [(text.upper(), f"{text}!") for text in texts]


def make(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")
    return directory


def found(*inputs: Path, output: Path, targets: Sequence[str] = ("de",)) -> tuple[list[Source], list[Path]]:
    return find_sources(list(map(str, inputs)), targets=targets, output=output, suffixes=KINDS)


def test_translations_lie_as_their_sources_do_with_the_language_in_their_name(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "b.TXT", "a.b.srt", "sub/deep/a.po")
    sources, _ = found(folder, output=tmp_path / "out", targets=["de", "pt-BR"])
    names = [[str(path.relative_to(tmp_path / "out")) for path in source.outputs] for source in sources]
    assert names == [
        ["a.b.de.srt", "a.b.pt-BR.srt"],
        ["b.de.TXT", "b.pt-BR.TXT"],
        ["sub/deep/a.de.po", "sub/deep/a.pt-BR.po"],
    ]


def test_files_of_other_kinds_in_a_folder_are_listed_and_hidden_ones_are_not(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.txt", "a.png", ".hidden.txt", ".git/a.txt")
    sources, others = found(folder, output=tmp_path / "out")
    assert [source.path.name for source in sources] == ["a.txt"]
    assert others == [folder / "a.png"]


@pytest.mark.parametrize("output", ["in", "in/out"])
def test_earlier_translations_are_not_translated(tmp_path: Path, output: str) -> None:
    folder = make(tmp_path / "in", "a.txt", "a.de.txt", "out/a.de.txt")
    sources, _ = found(folder, output=tmp_path / output)
    assert folder / "a.txt" in [source.path for source in sources]
    assert tmp_path / output / "a.de.txt" not in [source.path for source in sources]


def test_a_file_of_another_kind_and_one_that_is_nowhere_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, "a.docx")
    for name, message in (("a.docx", "files of this kind are not translated; .txt"), ("b.txt", "there is no such")):
        with pytest.raises(CommandError, match=message) as raised:
            found(folder / name, output=tmp_path / "out")
        assert raised.value.status == ExitStatus.USAGE


def test_two_translations_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, "a/x.txt", "b/x.txt")
    with pytest.raises(CommandError, match=r"another file's translation is called .*out/x\.de\.txt"):
        found(folder / "a/x.txt", folder / "b/x.txt", output=tmp_path / "out")


async def translated(folder: Path, output: Path) -> tuple[FileTranslator, list[str], int]:
    """The notes, too, and the bytes of progress that were reported."""
    notes: list[str] = []
    progress: list[int] = []
    translator = FileTranslator(KINDS, shout, note=notes.append, on_progress=progress.append)
    await translator.run(found(folder, output=output, targets=["de", "fr"])[0])
    return translator, notes, sum(progress)


async def test_each_file_gets_its_own_translations_however_many_it_has(tmp_path: Path) -> None:
    folder, counts = tmp_path / "in", [0, 1, MAX_TEXTS - 1, 0, 3 * MAX_TEXTS, 2, 0]
    folder.mkdir()
    for index, count in enumerate(counts):
        (folder / f"{index}.txt").write_text("".join(f"{index} of {line}\n" for line in range(count)))
    _, notes, progress = await translated(folder, tmp_path / "out")
    for index, count in enumerate(counts):
        lines = [f"{index} of {line}" for line in range(count)]
        assert (tmp_path / f"out/{index}.de.txt").read_text().split("\n") == [*map(str.upper, lines), ""]
        assert (tmp_path / f"out/{index}.fr.txt").read_text().split("\n") == [*(f"{line}!" for line in lines), ""]
    assert not notes
    assert progress == sum(path.stat().st_size for path in folder.iterdir())


async def test_web_pages_are_sent_as_html_and_other_files_as_text(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.txt", "c.txt")
    (folder / "b.html").write_text("<p>A <b>dog</b></p>")
    await translated(folder, tmp_path / "out")
    assert (tmp_path / "out/b.de.html").read_text() == "<p>A <B>DOG</B></p>"
    assert (tmp_path / "out/c.de.txt").read_text() == "TEXT\n"


async def test_a_file_that_cannot_be_read_is_noted_and_the_others_are_translated(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.txt", "c.txt")
    (folder / "b.json").write_text("{")
    translator, notes, _ = await translated(folder, tmp_path / "out")
    assert translator.num_failed == 1
    assert [note.partition(": ")[0] for note in notes] == [str(folder / "b.json")]
    assert "not JSON" in notes[0]
    assert (tmp_path / "out/c.de.txt").read_text() == "TEXT\n"


def test_a_file_is_written_over_what_a_kill_left(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.partial").write_text("half")
    write_whole(tmp_path / "a.txt", b"whole")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.txt", b"whole")]
