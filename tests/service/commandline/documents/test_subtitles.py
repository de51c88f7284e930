import srt
import webvtt

from tests.support.documents import SRT, VTT, document, shouted


def test_a_sentence_over_two_lines_is_one_text_and_a_speaker_another() -> None:
    assert document(".srt", SRT).texts() == ["Hello there, my friend.", "Who is it?", "It is me."]


def test_a_translation_has_at_most_the_lines_of_its_source() -> None:
    read = document(".srt", b"1\n00:00:01,000 --> 00:00:02,000\none two\nthree four\n")
    written = read.with_translations(["a much longer translation of the same four words"]).decode()
    assert written.splitlines()[2:] == ["a much longer translation", "of the same four words"]
    assert read.with_translations(["橋" * 9]).decode().splitlines()[2:] == ["橋" * 5, "橋" * 4]


def test_subrip_keeps_indices_times_positions_and_tags() -> None:
    assert shouted(".srt", SRT) == SRT.decode().replace("Hello there,\nmy friend.", "HELLO THERE,\nMY FRIEND.").replace(
        "Who is it?", "WHO IS IT?"
    ).replace("It is me.", "IT IS ME.")


def test_webvtt_keeps_settings_styles_regions_notes_and_tags() -> None:
    written = shouted(".vtt", VTT)
    before, after = webvtt.from_string(VTT.decode()), webvtt.from_string(written)
    assert [(cue.start, cue.end, cue.identifier, str(cue.settings), cue.comments) for cue in after.captions] == [
        (cue.start, cue.end, cue.identifier, str(cue.settings), cue.comments) for cue in before.captions
    ]
    assert [cue.raw_text for cue in after.captions] == [
        "<v Bob>SALT &amp; PEPPER FOR\n<c.loud>EVERYONE</c>",
        "THE <00:00:04.000>SECOND ONE",
    ]


def test_webvtt_texts_have_no_entities_and_translations_get_them() -> None:
    read = document(".vtt", VTT)
    assert read.texts()[0] == "Salt & pepper for"
    assert b"<v Bob>1 &lt; 2 &amp; 3" in read.with_translations(["1 < 2 & 3", *read.texts()[1:]])


def test_an_empty_translation_leaves_the_source() -> None:
    data = b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n"
    written = document(".srt", data).with_translations(["", "Ende"]).decode()
    assert [cue.content for cue in srt.parse(written)] == ["Hello", "Ende"]
