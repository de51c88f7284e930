"""What of a text in markup is words, and that the rest comes back."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.errors import UnsupportedOptionError
from service.text.markup.reading import HTML, XML, MarkupLanguage

PIECES = ["<p>", "</p>", "<b>", "</B >", "<br/>", "<img alt='a dog'>", "<code>", "</code>", "<!-- c -->", "&amp;", "&"]
PIECES += [
    "dogs",
    "One two.",
    " ",
    "\r\n",
    "<",
    ">",
    '"',
    "</>",
    "<script>",
    "</script>",
    "\U000f0000",
    "é😀",
    "<a href=x",
]


def lines(source: str, language: MarkupLanguage = HTML) -> list[str]:
    """The lines with words."""
    read = language.read(source)
    return [" ".join(line.split()) for line in read.words.split("\n") if any(map(str.isalpha, line))]


def shouted(source: str, language: MarkupLanguage = HTML) -> str:
    """In capitals, letter by letter."""
    read = language.read(source)
    renderer = read.renderer()
    return "".join(renderer.render(character.upper()) for character in read.text)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_deltas_joined_are_the_whole(source: str) -> None:
    read = HTML.read(source)
    renderer = read.renderer()
    assert "".join(map(renderer.render, read.text)) == read.renderer().render(read.text)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_what_was_rendered_reads_the_same(source: str) -> None:
    read = HTML.read(source)
    again = HTML.read(read.renderer().render(read.text))
    assert (again.words.split(), len(again.spans)) == (read.words.split(), len(read.spans))


@pytest.mark.parametrize(
    "source",
    [
        "<!DOCTYPE html>\r\n<HTML lang='en'>\r\n<head><meta charset=a>\n\n<title>Dog</title></head>\t<p\nclass=a>Dogs",
        "<table><tr ><td>One<td>Two</TABLE>",
        "<td>A cell alone</td>",
        "<p>12:30&nbsp;&copy; &#169;\n 3</p>",
        "<b><i>crossed</b></i>",
        "One<!-- a note --> dog<wbr>s",
        "&lt;p&gt; is not a tag &amp; stays",
    ],
)
def test_all_but_the_words_keeps_its_bytes(source: str) -> None:
    read = HTML.read(source)
    assert read.renderer().render(read.text) == source


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>One dog</p><p>Two dogs</p>", ["One dog", "Two dogs"]),
        ("<ul><li>One <b>big</b> dog<li>Two dogs</ul>", ["One big dog", "Two dogs"]),
        ("One dog<br>Two dogs<hr>Three", ["One dog", "Two dogs", "Three"]),
        ("One\n  dog <span>and</span>\r\ntwo", ["One dog and two"]),
    ],
)
def test_blocks_end_sentences_and_line_breaks_do_not(source: str, found: list[str]) -> None:
    assert lines(source) == found


@pytest.mark.parametrize(
    "kept",
    [
        "<code>dogs <b>x</b></code>",
        "<kbd>dogs</kbd>",
        "<sup><a href=x>dogs</a></sup>",
        "<pre>dogs\n  cats</pre>",
        "<script>if (a < b && c) { dogs }</script>",
        "<style>dogs > p { }</style>",
        "<span translate='no'>dogs <b title='dogs'>x</b></span>",
        "<div class='a notranslate'>dogs<div>cats</div>dogs</div>",
        "<p translate=no>dogs<p>",
        "<ul><li translate=no>dogs<li></ul>",
        "<img class=notranslate alt=dogs>",
        "<svg><title>dogs</title></svg>",
    ],
)
def test_what_is_not_to_be_translated_is_untouched(kept: str) -> None:
    assert lines(f"<p>One {kept} two</p>") in (["One two"], ["One", "two"])
    assert kept in shouted(f"<p>One {kept} two</p>")


def test_a_part_of_what_is_kept_can_be_translated() -> None:
    source = "<div translate=no>dogs <b translate=yes>cats</b> birds</div> mice"
    assert shouted(source) == "<div translate=no>dogs <b translate=yes>CATS</b> birds</div> MICE"
    assert lines("mice <span translate=no>dogs <b translate=yes>cats</b> birds</span> fish") == ["mice", "cats", "fish"]


@pytest.mark.parametrize("name", ["alt", "title", "placeholder", "aria-label"])
def test_attributes_that_people_read_are_translated(name: str) -> None:
    source = f"""<p>A <a data-x='1 "2"' {name}="dogs &amp; 'cats'" hidden>dog</a></p>"""
    assert lines(source) == ["dogs & 'cats'", "A dog"]
    assert shouted(source) == f"""<p>A <a data-x="1 &quot;2&quot;" {name}="DOGS &amp; 'CATS'" hidden="">DOG</a></p>"""


def test_a_translation_cannot_become_markup() -> None:
    read = HTML.read('<p title="dogs">cats</p>')
    translation = read.text.replace("dogs", '"><b>').replace("cats", "<script>&amp;")
    assert read.renderer().render(translation) == '<p title="&quot;&gt;&lt;b&gt;">&lt;script&gt;&amp;amp;</p>'


def test_entities_are_read_as_their_characters() -> None:
    assert lines("<p>Caf&eacute; &lt;b&gt; &#100;og &hellip;") == ["Café <b> dog …"]
    assert shouted("a &lt; b&nbsp;c") == "A &lt; B&nbsp;C"


@pytest.mark.parametrize("part", ["<b>", "<p>", "</p>", "<b title=a>", "&amp;", "<", "<a ", "<!--", "<code>", "a\n"])
def test_a_long_text_of_anything_is_read_in_linear_time(part: str) -> None:
    """A quadratic reader would not end."""
    source = part * (50_000 // len(part))
    read = HTML.read(source)
    assert len(read.renderer().render(read.text)) > 0


def test_xml_is_read_as_xml() -> None:
    source = 'Hi <x id="1"/> <title>big <b>dog</b></title><br>one</br><![CDATA[a < b]]>'
    assert lines(source, XML) == ["Hi big dog one a < b"]
    assert shouted(source, XML) == 'HI <x id="1"/> <title>BIG <b>DOG</b></title><br>ONE</br>A &lt; B'


def test_elements_of_xml_are_blocks_unless_text_stands_beside_them() -> None:
    source = "<?xml version='1.0'?>\n<doc><head>One</head><par>Two <b>big</b> dogs</par></doc>"
    assert lines(source, XML) == ["One", "Two big dogs"]


@pytest.mark.parametrize(
    "source",
    ["<a>b", "a & b", "&nbsp;", "</root><root>", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"],
)
def test_xml_that_is_not_well_formed_is_refused(source: str) -> None:
    with pytest.raises(UnsupportedOptionError, match="XML"):
        XML.read(source)


def test_characters_are_counted_without_markup() -> None:
    assert HTML.num_characters("<p title='dogs'>One &amp; <b>two</b></p>\n") == len("One & two\n")
    assert XML.num_characters("<p>One &amp; <b>two</b></p>\n") == len("One & two\n")


ISLANDS = ["<span translate=no>", "</span>", "<i translate=yes>", "</i>", "<td title='A cell'>", "<pre>", "</pre>"]


@example("dogs <span translate=no><i translate=yes>cats")
@example("dogs <span translate=no><p>One</p></span> cats")
@settings(deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *ISLANDS]), max_size=12).map("".join))
def test_the_parts_of_a_source_have_its_lines(source: str) -> None:
    parts = list(HTML.parts(source, max_characters=1_000))
    assert "".join(part for part, _ in parts) == source
    found = [line for part, has_words in parts if has_words for line in lines(part)]
    assert sorted(found) == sorted(lines(source))


def test_a_part_that_would_be_too_long_is_cut_at_tags_and_markup_without_words_is_left_out() -> None:
    image, script = f"<img src='{'x' * 50}' alt='A dog'>", f"<script>{'x' * 50}</script>"
    source = f"A <b>black dog</b>{image} and a <i>cat</i>{script}.<p>One.</p>"
    assert list(HTML.parts(source, max_characters=20)) == [
        ("A <b>black dog</b>", True),
        (image, False),
        (" and a <i>cat</i>", True),
        (script, False),
        (".", False),
        ("<p>", False),
        ("One.", True),
        ("</p>", False),
        ("", False),
    ]
