"""Plain text: each line is a text."""

from service.commandline.documents.document import Translate


def rewrite_lines(text: str, translate: Translate) -> str:
    return "\n".join(on_one_line(translate(line)) for line in text.split("\n"))


def on_one_line(text: str) -> str:
    """Join the lines of a translation, because it must not become two lines."""
    return text.replace("\n", " ")
