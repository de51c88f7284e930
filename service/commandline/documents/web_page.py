"""HTML: a sentence with its tags is a text, in which the server keeps the tags; everything else stays unchanged."""

from service.commandline.chunks import MAX_CHARACTERS
from service.commandline.documents.document import Translate
from service.text.markup.reading import HTML


def rewrite_html(text: str, translate: Translate) -> str:
    parts = HTML.parts(text, max_characters=MAX_CHARACTERS)
    return "".join(translate(part) if has_words else part for part, has_words in parts)
