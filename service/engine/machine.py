"""The cores and GPUs that this process may use, within affinity, cgroup quotas and CUDA_VISIBLE_DEVICES.

Nothing here loads torch or the CUDA driver into the service process.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ReadText = Callable[[PurePosixPath], str | None]
"""Reads a file; None if it does not exist or may not be read."""

_PROC = PurePosixPath("/proc/self")
_INDEX = re.compile(r"\s*\+?(\d+)")


def read_text(path: PurePosixPath) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def count_usable_cores(num_allowed: int, read: ReadText) -> int:
    """The allowed cores, limited to the cores that cgroup quotas fully cover; at least 1.

    Rounded down, because the service process needs time too, and a group over its quota is suspended for the rest of
    the period.
    """
    return max(1, min([num_allowed, *map(int, _quotas(read))]))


@dataclass(frozen=True, slots=True)
class _Mount:
    """A mounted file system of cgroups; the group `root` is at `point`."""

    root: PurePosixPath
    point: PurePosixPath
    is_v2: bool
    controllers: frozenset[str]

    def holds(self, controllers: str) -> bool:
        """Whether this mount controls the CPU time of a hierarchy with these `controllers`; version 2 names none."""
        return self.is_v2 if not controllers else "cpu" in self.controllers.intersection(controllers.split(","))

    def levels(self, group: PurePosixPath) -> Iterator[PurePosixPath]:
        """The visible directories of a group and its ancestors."""
        inside = group.relative_to(self.root) if group.is_relative_to(self.root) else PurePosixPath()
        if ".." in inside.parts:  # a group outside this process's namespace
            inside = PurePosixPath()
        directory = self.point / inside
        yield directory
        while directory != self.point:
            directory = directory.parent
            yield directory


def _quotas(read: ReadText) -> Iterator[float]:
    """The quotas, in cores, of every cgroup from this process's own up to the root."""
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
    """Parse `max 100000` or `150000 100000`: CPU time and period, both in microseconds."""
    quota, _, period = (read(level / "cpu.max") or "max").partition(" ")
    return None if quota.strip() == "max" else int(quota) / int(period)


def _quota_v1(level: PurePosixPath, read: ReadText) -> float | None:
    """Version 1 has two files, and -1 for no limit."""
    quota, period = (int(read(level / f"cpu.cfs_{name}_us") or -1) for name in ("quota", "period"))
    return quota / period if quota > 0 and period > 0 else None


def find_gpus(root: Path = Path("/")) -> list[str]:
    """The UUIDs of the driver's GPUs by device number; empty strings where the driver does not show them."""
    uuids: dict[int, str] = {}
    for path in root.glob("proc/driver/nvidia/gpus/*/information"):
        fields = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
        uuids[int(fields.get("Device Minor", -1))] = fields.get("GPU UUID", "").strip()
    names = (path.name.removeprefix("nvidia") for path in root.glob("dev/nvidia*"))
    return [uuids.get(minor, "") for minor in sorted(int(name) for name in names if name.isdecimal())]


def count_visible_gpus(visible: str | None, gpus: Sequence[str]) -> int:
    """The number of `gpus`, from `find_gpus`, that CUDA shows for this value of CUDA_VISIBLE_DEVICES.

    CUDA reads a list of indices or UUID prefixes up to the first one that does not exist, and shows none if one is
    repeated. If the list names parts of a GPU (`MIG-…`), a process sees only one.
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
