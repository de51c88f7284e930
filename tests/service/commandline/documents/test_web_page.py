from tests.support.documents import HTML, document, shouted


def test_only_what_stands_between_tags_is_a_text() -> None:
    assert document(".html", HTML).texts() == [
        "My page",
        "The dog & the cat",
        "The dog is in the garden.",
        "I like",
        "dogs",
        "<3, and a < b.",
    ]


def test_all_but_the_texts_keeps_its_bytes() -> None:
    expected = HTML.decode()
    for old, new in (
        ("My page", "MY PAGE"),
        ("The dog &amp; the cat", "THE DOG &amp; THE CAT"),
        ("The dog is in\n   the garden.", "THE DOG IS IN THE GARDEN."),
        ("I like <b>dogs</b> &lt;3, and a < b.", "I LIKE <b>DOGS</b> &lt;3, AND A &lt; B."),
    ):
        expected = expected.replace(old, new)
    assert shouted(".html", HTML) == expected


def test_a_translation_cannot_become_a_tag() -> None:
    assert document(".html", b"<p>a</p>").with_translations(["<script>"]) == b"<p>&lt;script&gt;</p>"


def test_a_page_that_ends_too_early_stays_as_it_is() -> None:
    for data in (b"<p>one<b", b"<p>one</p", b"<!-- one", b"one &am", b"<script>one", b"one <", b"</>one"):
        read = document(".html", data)
        assert read.with_translations(read.texts()) == data
