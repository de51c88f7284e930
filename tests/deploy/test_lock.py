"""The lock of the images: what the project asks for, with a hash for everything, and no address."""

import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.dockerfile import read_stages
from tests.deploy.files import DEPLOY, PROJECT

TEXT = (DEPLOY / "docker" / "requirements.txt").read_text()
LOCKED = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", TEXT, re.MULTILINE))
FROM_ELSEWHERE = "torch"
"""Its builds differ by target, so the Dockerfile takes its version."""


def test_every_dependency_is_locked_to_a_version_that_the_project_allows() -> None:
    asked = {canonicalize_name(each.name): each for each in map(Requirement, PROJECT["dependencies"])}
    allowed = {name for name, each in asked.items() if name in LOCKED and LOCKED[name] in each.specifier}
    assert asked.keys() - allowed == {FROM_ELSEWHERE}


def test_everything_has_a_hash_and_nothing_an_address() -> None:
    entries = [line for line in TEXT.splitlines() if line and line[0] not in "# "]
    assert len(entries) == len(LOCKED) > 50
    assert not re.search(r"https?://|file:|--(?:index-url|extra-index-url|find-links|trusted-host)", TEXT)
    assert all("+" not in version and ".post" not in version for version in LOCKED.values()), "builds of one index"


def test_the_images_install_the_lock_with_its_hashes_and_then_only_ours() -> None:
    installs = [value for stage in ("venv", "venv-cpu", "venv-cuda") for value in read_stages()[stage].values("RUN")]
    installs = [value for value in installs if " install " in value]
    assert any("--require-hashes --no-deps --requirement /requirements.txt" in value for value in installs)
    assert all(FROM_ELSEWHERE in value or "--no-deps" in value for value in installs)
