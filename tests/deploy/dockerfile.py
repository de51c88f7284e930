"""deploy/docker/Dockerfile by its stages."""

import json
from dataclasses import dataclass, field

from dockerfile_parse import DockerfileParser

from tests.deploy.files import DEPLOY, ROOT

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with all that it stands on, up to the image that is pulled."""

    image: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.instructions if name == instruction]

    def last(self, instruction: str) -> str:
        return self.values(instruction)[-1]

    def environment(self) -> dict[str, str]:
        pairs = " ".join(self.values("ENV")).split()
        return dict(pair.split("=", maxsplit=1) for pair in pairs)


def read_stages() -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    stage: Stage | None = None
    for each in DockerfileParser(path=str(DOCKERFILE)).structure:
        name, value = each["instruction"], each["value"]
        if name == "FROM":
            base, _, stage_name = value.partition(" AS ")
            parent = stages.get(base)
            stage = Stage(_expanded(base, arguments)) if parent is None else Stage(parent.image, [*parent.instructions])
            stages[stage_name] = stage
        elif stage is None and name == "ARG":
            key, _, default = value.partition("=")
            arguments[key] = default
        elif stage is not None and name != "COMMENT":
            stage.instructions.append((name, value))
    return stages


def copied_paths() -> list[str]:
    """The paths that any stage copies from the repository."""
    lines = [value.split() for stage in read_stages().values() for value in stage.values("COPY")]
    return sorted({path for line in lines if not line[0].startswith("--from=") for path in line[:-1]})


def is_let_through(path: str) -> bool:
    """Whether .dockerignore admits a path: it excludes everything that it does not list with a `!`."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return f"!{path}" in lines


def exec_form(value: str) -> list[str]:
    """`CMD ["a", "b"]`, and the same in a HEALTHCHECK."""
    words: list[str] = json.loads(value[value.index("[") :])
    return words


def _expanded(text: str, arguments: dict[str, str]) -> str:
    for key, value in arguments.items():
        text = text.replace(f"${{{key}}}", value)
    return text
