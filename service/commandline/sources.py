"""Find the files to translate, and the paths of their translations."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.commandline.errors import CommandError, ExitStatus


@dataclass(frozen=True, slots=True)
class Source:
    """A file to translate; `outputs` has a path for each target."""

    path: Path
    outputs: tuple[Path, ...]

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


def find_sources(
    inputs: Sequence[str], *, targets: Sequence[str], output: Path, suffixes: Collection[str]
) -> tuple[list[Source], list[Path]]:
    """The files with these suffixes, in order, and the other files found in directories.

    Hidden files and earlier output are skipped. Raises CommandError for a missing path, for a named file of another
    kind, and for two files whose translations would have the same name.
    """
    sources: list[Source] = []
    others: list[Path] = []
    for path, relative in _walk(map(Path, inputs), output):
        outputs = tuple(output / relative.with_name(f"{path.stem}.{target}{path.suffix}") for target in targets)
        if path.suffix.lower() in suffixes:
            sources.append(Source(path, outputs))
        elif len(relative.parts) == 1 and str(path) in inputs:
            kinds = ", ".join(suffixes)
            raise CommandError(f"{path}: files of this kind are not translated; {kinds} are", status=ExitStatus.USAGE)
        else:
            others.append(path)
    written = Counter(path.resolve() for source in sources for path in source.outputs)
    sources = [source for source in sources if source.path.resolve() not in written]
    for source in sources:
        if written[source.outputs[0].resolve()] > 1:
            raise CommandError(
                f"{source.path}: another file's translation is called {source.outputs[0]}, too; "
                "translate them into two directories",
                status=ExitStatus.USAGE,
            )
    return sources, others


def _walk(inputs: Iterator[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    """Each file, and its path relative to the input that contains it."""
    for path in inputs:
        if path.is_file():
            yield path, Path(path.name)
        elif not path.is_dir():
            raise CommandError(f"{path}: there is no such file or directory", status=ExitStatus.USAGE)
        else:
            is_inside = output.resolve().is_relative_to(path.resolve()) and output.resolve() != path.resolve()
            for each in sorted(path.rglob("*")):
                relative = each.relative_to(path)
                is_output = is_inside and each.resolve().is_relative_to(output.resolve())
                if each.is_file() and not is_output and not any(part.startswith(".") for part in relative.parts):
                    yield each, relative
