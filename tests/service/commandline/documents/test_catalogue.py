import polib

from tests.support.documents import PO, document, shouted


def translated() -> polib.POFile:
    return polib.pofile(shouted(".po", PO))


def test_only_messages_without_a_translation_get_one() -> None:
    assert document(".po", PO).texts() == ["Open %s", "One file", "%d files", "First line.\nSecond line."]
    assert {entry.msgid: entry.msgstr for entry in translated() if not entry.msgid_plural} == {
        "Open %s": "OPEN %S",
        "Close": "Schließen",
        "New": "Alt",
        "First line.\nSecond line.\n": "FIRST LINE.\nSECOND LINE.\n",
        "Gone": "Weg",
    }


def test_each_plural_form_gets_its_translation() -> None:
    entry = translated().find("One file")
    assert entry is not None
    assert entry.msgstr_plural == {0: "ONE FILE", 1: "%D FILES"}


def test_the_one_form_of_a_language_without_plurals_is_that_of_many() -> None:
    data = b'msgid "One file"\nmsgid_plural "Many files"\nmsgstr[0] ""\n'
    assert document(".po", data).texts() == ["Many files"]


def test_comments_flags_contexts_obsolete_messages_and_headers_stay() -> None:
    before, after = polib.pofile(PO.decode()), translated()
    assert after.metadata == before.metadata
    assert after.header == before.header
    for old, new in zip(before, after, strict=True):
        kept = ("msgid", "msgctxt", "comment", "tcomment", "occurrences", "flags", "previous_msgid", "obsolete")
        assert [getattr(new, name) for name in kept] == [getattr(old, name) for name in kept]
