from tests.support.documents import HTML, document, shouted


def test_a_sentence_is_one_text_with_its_tags() -> None:
    assert document(".html", HTML).texts() == [
        "My page",
        "The dog &amp; the cat",
        "<p title='A title'>",
        "The dog is in\n   the garden.",
        "I like <b>dogs</b> &lt;3, and a < b.",
    ]


def test_all_but_the_texts_keeps_its_bytes() -> None:
    expected = HTML.decode()
    for text in document(".html", HTML).texts():
        expected = expected.replace(text, text.upper())
    assert shouted(".html", HTML) == expected


def test_a_page_that_ends_too_early_stays_as_it_is() -> None:
    for data in (b"<p>one<b", b"<p>one</p", b"<!-- one", b"one &am", b"<script>one", b"one <", b"</>one"):
        read = document(".html", data)
        assert read.with_translations(read.texts()) == data
