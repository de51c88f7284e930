"""schemathesis over a server's OpenAPI document: all endpoints, all phases, valid and invalid requests."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
"""Those of documented answers. Others need to know what our schema cannot say, such as which languages a model has."""
PHASES = ("examples", "coverage", "fuzzing", "stateful")
NUM_CONNECTIONS = 1
"""Python 3.11 fails to parse in several threads at once, as schemathesis does."""
REQUEST_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SchemaFuzz:
    num_cases: int
    output: str
    has_failed: bool


def run_schemathesis(
    url: str, directory: Path, *, seed: int, max_examples: int, phases: tuple[str, ...] = PHASES
) -> SchemaFuzz:
    """`max_examples` is the most cases of an operation in a phase that makes up examples.

    schemathesis runs in `directory`, where it leaves its reports.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--phases", ",".join(phases), "--workers", str(NUM_CONNECTIONS)),
            *("--seed", str(seed), "--max-examples", str(max_examples), "--generation-database", "none"),
            *("--request-timeout", str(REQUEST_SECONDS), "--no-color", "--continue-on-failure"),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"(\d+) generated", done.stdout)
    return SchemaFuzz(int(found[1]) if found else 0, done.stdout + done.stderr, done.returncode != 0)
