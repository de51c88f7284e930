"""What this process may use of its machine: cores within affinity and cgroup quotas, GPUs within CUDA_VISIBLE_DEVICES.

Nothing here imports torch or asks the CUDA driver, which would be loaded into the service process.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ReadText = Callable[[PurePosixPath], str | None]
"""The text of a file; None where there is none, or none that may be read."""

_PROC = PurePosixPath("/proc/self")
_INDEX = re.compile(r"\s*\+?(\d+)")


def read_text(path: PurePosixPath) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def count_usable_cores(num_allowed: int, read: ReadText) -> int:
    """Of the cores that the scheduler allows, as many as the cgroups pay for in full; at least 1.

    Rounded down: the service process has work, too, and a group that overdraws its quota stands still for the rest of
    the period.
    """
    return max(1, min([num_allowed, *map(int, _quotas(read))]))


@dataclass(frozen=True, slots=True)
class _Mount:
    """A file system of cgroups, of which the group `root` is what shows at `point`."""

    root: PurePosixPath
    point: PurePosixPath
    is_v2: bool
    controllers: frozenset[str]

    def holds(self, controllers: str) -> bool:
        """Whether the CPU time of a hierarchy is shared out here, by its `controllers`: of version 2 it names none."""
        return self.is_v2 if not controllers else "cpu" in self.controllers.intersection(controllers.split(","))

    def levels(self, group: PurePosixPath) -> Iterator[PurePosixPath]:
        """The directories of a group and of all above it, as far as they show."""
        inside = group.relative_to(self.root) if group.is_relative_to(self.root) else PurePosixPath()
        if ".." in inside.parts:  # a group outside of this process's namespace
            inside = PurePosixPath()
        directory = self.point / inside
        yield directory
        while directory != self.point:
            directory = directory.parent
            yield directory


def _quotas(read: ReadText) -> Iterator[float]:
    """In cores: of every cgroup from this process's own up to the root."""
    mounts = list(_cgroup_mounts(read(_PROC / "mountinfo") or ""))
    for line in (read(_PROC / "cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        for mount in mounts:
            if not mount.holds(controllers):
                continue
            for level in mount.levels(PurePosixPath(group)):
                quota = _quota_v2(level, read) if mount.is_v2 else _quota_v1(level, read)
                if quota is not None:
                    yield quota


def _cgroup_mounts(mountinfo: str) -> Iterator[_Mount]:
    """Lines are `id parent device root point options [tags…] - type source options`."""
    for line in mountinfo.splitlines():
        mount, _, file_system = line.partition(" - ")
        root, point = map(PurePosixPath, mount.split()[3:5])
        kind, *_, options = file_system.split()
        if kind in ("cgroup", "cgroup2"):
            yield _Mount(root, point, kind == "cgroup2", frozenset(options.split(",")))


def _quota_v2(level: PurePosixPath, read: ReadText) -> float | None:
    """`max 100000` or `150000 100000`, of which the first are microseconds of CPU time in a period of the second."""
    quota, _, period = (read(level / "cpu.max") or "max").partition(" ")
    return None if quota.strip() == "max" else int(quota) / int(period)


def _quota_v1(level: PurePosixPath, read: ReadText) -> float | None:
    """The same in two files, -1 for no limit."""
    quota, period = (int(read(level / f"cpu.cfs_{name}_us") or -1) for name in ("quota", "period"))
    return quota / period if quota > 0 and period > 0 else None


def find_gpus(root: Path = Path("/")) -> list[str]:
    """The UUID of each GPU of the driver, or an empty string where the driver does not show it, by device number."""
    uuids: dict[int, str] = {}
    for path in root.glob("proc/driver/nvidia/gpus/*/information"):
        fields = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
        uuids[int(fields.get("Device Minor", -1))] = fields.get("GPU UUID", "").strip()
    names = (path.name.removeprefix("nvidia") for path in root.glob("dev/nvidia*"))
    return [uuids.get(minor, "") for minor in sorted(int(name) for name in names if name.isdecimal())]


def count_visible_gpus(visible: str | None, gpus: Sequence[str]) -> int:
    """Of `gpus`, as `find_gpus` gives them, those that CUDA shows under this value of CUDA_VISIBLE_DEVICES.

    As CUDA reads it: a list of indices or of (beginnings of) UUIDs that ends before the first one that does not exist,
    and that is empty where one is repeated. Of parts of a GPU (`MIG-…`) a process sees one.
    """
    if visible is None:
        return len(gpus)
    if visible.startswith("MIG-"):
        return min(1, len(gpus))
    find = _by_uuid if visible.startswith("GPU-") else _by_index
    found: list[int] = []
    for entry in visible.split(","):
        index = find(entry, gpus)
        if index is None:
            break
        if index in found:
            return 0
        found.append(index)
    return len(found)


def _by_index(entry: str, gpus: Sequence[str]) -> int | None:
    number = _INDEX.match(entry)
    return int(number[1]) if number is not None and int(number[1]) < len(gpus) else None


def _by_uuid(entry: str, gpus: Sequence[str]) -> int | None:
    if not entry.startswith("GPU-"):
        return None
    matching = [index for index, uuid in enumerate(gpus) if uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None
