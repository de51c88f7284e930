"""`tests/tools.sh` finds the programs that the tests run, or unpacks them, and leaves the machine as it was."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from platform import machine as processor

import pytest

SCRIPT = Path(__file__).parent / "tools.sh"
BROWSER = "chromium-headless-shell"
FOR_ARM = () if processor() == "aarch64" else ("aarch64-linux-gnu-g++", "qemu-aarch64")
PROGRAMS = ("redis-server", "prometheus", "promtool", "nginx", BROWSER, *FOR_ARM)
BASICS = ("sh", "cat", "chmod", "dirname", "find", "id", "mkdir", "mv", "paste", "rm", "uname")
FAKE_APT = """#!/bin/sh
echo apt-get "$@" >>"$LOG"
echo fetching
for argument; do
    case "$argument" in
        Dir::Cache=*) cache="${argument#Dir::Cache=}" ;;
        install) touch_package=yes ;;
    esac
done
test -z "${touch_package:-}" || echo >"$cache/archives/all.deb"
"""
FAKE_DPKG_DEB = f"""#!/bin/sh
echo dpkg-deb "$@" >>"$LOG"
mkdir -p "$3/usr/bin"
for program in {" ".join(PROGRAMS)}; do
    printf '#!/bin/sh\\necho "%s runs"\\n' "$program" >"$3/usr/bin/$program"
    chmod 755 "$3/usr/bin/$program"
done
# Of the browser, that is a script that runs another file of its package by its place on the machine.
mkdir -p "$3/usr/lib/chromium"
mv "$3/usr/bin/{BROWSER}" "$3/usr/lib/chromium"
printf '#!/bin/sh\\nexec /usr/lib/chromium/{BROWSER} "$@"\\n' >"$3/usr/bin/{BROWSER}"
chmod 755 "$3/usr/bin/{BROWSER}"
"""
FAKE = '#!/bin/sh\necho "$0" "$@" >>"$LOG"\n'


@dataclass(frozen=True, slots=True)
class Machine:
    """A checkout, and all that is on PATH in it."""

    directory: Path

    def put(self, name: str, script: str = FAKE) -> None:
        path = self.directory / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def make_tools(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.directory / "tests" / "tools.sh"],
            env={"PATH": str(self.directory / "bin"), "LOG": str(self.directory / "log")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        log = self.directory / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """With nothing but what every machine has."""
    for name in ("bin", "tests"):
        (tmp_path / name).mkdir()
    shutil.copy(SCRIPT, tmp_path / "tests")
    for name in BASICS:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    return Machine(tmp_path)


@pytest.fixture
def debian(machine: Machine) -> Machine:
    """With what could change the machine, too."""
    machine.put("apt-get", FAKE_APT)
    machine.put("dpkg-deb", FAKE_DPKG_DEB)
    for name in ("sudo", "systemctl", "service", "deb-systemd-helper", "dpkg"):
        machine.put(name)
    return machine


def test_programs_on_path_need_nothing(debian: Machine) -> None:
    for name in PROGRAMS:
        debian.put(name)
    done = debian.make_tools()
    assert (done.returncode, done.stdout, debian.calls) == (0, "", [])


def test_missing_programs_are_named_first_and_then_unpacked_into_the_checkout(debian: Machine) -> None:
    done = debian.make_tools()
    assert done.returncode == 0, done.stdout
    before, _, _ = done.stdout.partition("fetching")
    assert "redis-server prometheus promtool" in before
    assert f"{debian.directory}/.tools; nothing is installed, and no service is started or enabled" in before
    for name in [each for each in PROGRAMS if each != "nginx"]:  # which machines have where PATH does not lead
        ran = subprocess.run([debian.directory / ".tools" / "bin" / name], capture_output=True, text=True, check=True)
        assert ran.stdout == f"{name} runs\n"
    assert debian.make_tools().stdout == "", "what is there is not fetched again"


def test_nothing_is_installed_started_or_enabled(debian: Machine) -> None:
    debian.make_tools()
    update, install, unpack = debian.calls
    for call in (update, install):
        assert call.startswith("apt-get ")
        for directory in ("Dir::State::Lists", "Dir::Cache"):
            assert f"{directory}={debian.directory}/.tools/" in call
    assert " --download-only " in install
    assert unpack.startswith("dpkg-deb -x ")
    assert unpack.endswith(f" {debian.directory}/.tools/root")


def test_a_machine_without_debians_packages_is_told_what_to_install(machine: Machine) -> None:
    done = machine.make_tools()
    assert done.returncode == 1
    assert "please install them: redis-server prometheus promtool" in done.stdout


def test_a_package_without_its_program_is_an_error(debian: Machine) -> None:
    debian.put("dpkg-deb")
    done = debian.make_tools()
    assert done.returncode == 1
    assert "redis-server is in none of the packages: redis-server redis-tools prometheus" in done.stdout
