"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def search_name(beam_size: int) -> str:
    """The name of a search in the tables."""
    return "greedy" if beam_size == 1 else f"beam {beam_size}"
