"""The results of a run, as Markdown and as JSON."""

import json
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from model.evaluation.markdown import markdown_table


class OutOfTimeError(Exception):
    """The part's time is up; what was measured is reported."""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    head: list[str]
    body: list[list[str]]


@dataclass(frozen=True, slots=True)
class Check:
    law: str
    holds: bool
    detail: str = ""


@dataclass(slots=True)
class Part:
    """One part of the run. `problem` is the reason why it, or the rest of it, was not run."""

    name: str
    max_seconds: float
    tables: list[Table] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What failed on this device, with tracebacks."""
    seconds: float = 0.0
    problem: str = ""

    def check(self, law: str, *, holds: bool, detail: str = "") -> None:
        self.checks.append(Check(law, holds, detail))

    def end(self, error: BaseException) -> None:
        """Note that the part ended with an error, which may be that its time was up."""
        if not isinstance(error, OutOfTimeError):
            self._note_failure(self.name, error)
        self.problem = f"{type(error).__name__}: {error}"
        self.check("the part runs to its end", holds=False)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Go on after an error inside the context: something to compare with may not run on a device."""
        try:
            yield
        except OutOfTimeError:
            raise
        except Exception as error:
            self._note_failure(name, error)

    def _note_failure(self, name: str, error: BaseException) -> None:
        self.failures.append(f"{name}\n{''.join(traceback.format_exception(error))}")


def as_markdown(heading: str, parts: Sequence[Part]) -> str:
    sections = [f"# {heading}"]
    for part in parts:
        sections.append(f"## {part.name}\n\nTook {part.seconds:.0f} s of at most {part.max_seconds:.0f} s.")
        sections += [f"### {table.title}\n\n{markdown_table(table.head, table.body)}" for table in part.tables]
        if part.checks:
            body = [[each.law, "holds" if each.holds else "**missed**", each.detail] for each in part.checks]
            sections.append(markdown_table(["what must hold", "", "measured"], body))
        sections += part.notes
        sections += [f"**Failed:**\n\n```\n{failure.rstrip()}\n```" for failure in part.failures]
        if part.problem:
            sections.append(f"**Not run to its end:** {part.problem}")
    return "\n\n".join(sections) + "\n"


def as_json(heading: str, parts: Sequence[Part]) -> str:
    return json.dumps({"heading": heading, "parts": [asdict(part) for part in parts]}, indent=2, ensure_ascii=False)
