"""HTML out has the tree of HTML in, in every hypothesis, on every route, streamed or not."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tests.service.translation.test_reading_order import joined_deltas, no_words, other_pieces
from tests.support.fake_engine import FakeEngine, echo
from tests.support.translator_bench import Bench

ROUTES = [("en", ("de",)), ("en", ("ja", "fr")), ("de", ("fr", "ja")), ("ja", ("es",))]
TEXTS = st.sampled_from(
    [
        "Hello",
        "one.",
        " Two! ",
        "über",
        "日本語。",
        "a &lt; b",
        "12:30",
        "😀",
        "{name}",
        " ",
        "\n  ",
        "&nbsp;",
        "&copy;",
    ]
)
INLINE = st.recursive(
    TEXTS | st.sampled_from(["<br>", "<img src=x alt='A dog'>", "<code>x &lt; y</code>", "<!-- note -->", "<wbr>"]),
    lambda children: st.tuples(
        st.sampled_from(["b", "i", 'a href="x?y=1&amp;z" title="My dog"', "span translate=no", "x-y"]),
        st.lists(children, min_size=0, max_size=3).map("".join),
    ).map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0].split()[0]}>"),
    max_leaves=6,
)
LINES = st.lists(INLINE, max_size=5).map("".join)
BLOCKS = st.one_of(
    LINES.map("<p>{}</p>\n".format),
    LINES.map("<div>{}</div>".format),
    st.tuples(LINES, LINES).map(lambda pair: f"<ul><li>{pair[0]}<li>{pair[1]}</ul>"),
    LINES.map("<table><tr><td>{}</table>".format),
    LINES,
    st.sampled_from(["<script>a < b</script>", "<pre>a\n  b</pre>"]),
)
BODIES = st.lists(BLOCKS, min_size=1, max_size=3).map("".join)
DOCUMENTS = BODIES.map("<!DOCTYPE html>\n<html><head><title>My page</title></head><body>{}</body></html>".format)


def tree(source: str) -> list[Any]:
    """Of its elements, with the attributes that stay."""

    def branch(node: LexborNode) -> list[Any]:
        kept = {name: value for name, value in node.attributes.items() if name not in ("title", "alt")}
        return [node.tag, kept, *(branch(child) for child in node.iter(include_text=False))]

    root = LexborHTMLParser(source).root
    assert root is not None
    return branch(root)


@settings(max_examples=120, deadline=None)
@given(
    BODIES | DOCUMENTS,
    st.sampled_from(ROUTES),
    st.sampled_from([1, 3]),
    st.sampled_from([echo, other_pieces, no_words]),
)
def test_html_keeps_its_tree_streamed_or_not(
    text: str, route: tuple[str, tuple[str, ...]], beam_size: int, script: Any
) -> None:
    source, targets = route
    options = {"source": source, "targets": targets, "beam_size": beam_size, "num_hypotheses": beam_size}
    plain = asyncio.run(Bench(FakeEngine(script)).plain(text, format="html", **options))
    for translation in plain:
        for hypothesis in translation.hypotheses:
            assert tree(hypothesis.text) == tree(text)
    joined = joined_deltas(asyncio.run(Bench(FakeEngine(script, seed=1)).events(text, format="html", **options)))
    assert all(joined[0, each.target_lang] == each.text for each in plain)


async def test_a_sentence_is_translated_whole_with_its_tags() -> None:
    bench = Bench()
    await bench.plain("<p>My <b>big</b> dog</p>\n<p>My <i>big</i> dog &amp; cat</p>", format="html")
    marked, plain = Bench(), bench.engine
    await marked.plain("My big dog", "My big dog & cat")
    assert [spec.source_ids for spec in plain.specs] == [spec.source_ids for spec in marked.engine.specs]


@pytest.mark.parametrize("name", ["#<b>dogs</b>", '<a href="x"><i>https://</i>a.org/dogs<i>and</i></a>'])
async def test_a_name_with_tags_among_its_characters_is_kept(name: str) -> None:
    (translation,) = await Bench().plain(f"<p>My big {name} dog</p>", format="html")
    assert name in translation.text


async def test_the_language_is_detected_without_the_tags() -> None:
    text = '<div class="the house of the dogs and the cats"><b>Guten Morgen, wie geht es dir heute?</b></div>'
    (translation,) = await Bench().plain(text, source=None, targets=("en",), format="html")
    assert translation.detected_source_lang == "de"


async def test_a_page_that_is_already_in_the_language_comes_back_as_it_is() -> None:
    text = "<p title='My dog'>My &eacute;\r\n dog</>"
    (translation,) = await Bench().plain(text, targets=("en",), format="html")
    assert translation.text == text


async def test_no_way_to_split_sentences_joins_blocks() -> None:
    for split in ("newlines", "punctuation", "none"):
        bench = Bench()
        await bench.plain("<p>One dog. Two\ncats.</p><p>A bird</p>", format="html", split_sentences=split)
        assert len(bench.engine.specs) == (2 if split == "none" else 3)
