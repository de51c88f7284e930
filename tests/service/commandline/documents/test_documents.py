"""What holds for files of every kind."""

import pytest

from service.commandline.documents.document import DocumentError
from tests.support.documents import FILES, document

MARK = b"\xef\xbb\xbf"
KINDS = pytest.mark.parametrize("suffix", FILES)


@pytest.mark.parametrize("suffix", [suffix for suffix in FILES if suffix != ".po"])  # its messages are filled
@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("line_break", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_file_translated_into_itself_keeps_its_bytes(suffix: str, mark: bytes, line_break: bytes) -> None:
    data = mark + FILES[suffix].replace(b"\n", line_break)
    read = document(suffix, data)
    assert read.with_translations(read.texts()) == data


@KINDS
def test_texts_have_letters_and_no_white_space_around_them(suffix: str) -> None:
    texts = document(suffix, FILES[suffix]).texts()
    assert texts
    assert all(text == text.strip() and any(map(str.isalpha, text)) for text in texts)


@KINDS
def test_each_translation_has_its_place(suffix: str) -> None:
    read = document(suffix, FILES[suffix])
    translations = [f"Text{number}" for number in range(len(read.texts()))]
    written = read.with_translations(translations).decode()
    places = [written.index(translation) for translation in translations]
    assert places == sorted(places)


@KINDS
def test_an_empty_file_stays_empty_or_is_refused(suffix: str) -> None:
    try:
        assert document(suffix, b"").with_translations([]) == b""
    except DocumentError:
        assert suffix in (".json", ".vtt")


@KINDS
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(suffix: str) -> None:
    with pytest.raises(DocumentError, match="line 2 is not UTF-8"):
        document(suffix, b"one\ntwo \xe9\n")


@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        (".json", b'{"a": ', "not JSON: Expecting value"),
        (".json", b"[" * 100_000, "not JSON: "),
        (".srt", b"There is no time.\n", "not SubRip: "),
        (".vtt", b"There is no heading.\n", "not WebVTT: "),
        (".po", b"No quotes.\n", "not a gettext catalogue: .*line 1"),
    ],
)
def test_a_file_that_is_not_of_its_kind_is_refused(suffix: str, data: bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        document(suffix, data).texts()
