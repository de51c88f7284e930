"""Cores are those that affinity and every cgroup above allow, and GPUs those that CUDA would show."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from service.engine.machine import count_usable_cores, count_visible_gpus, find_gpus, read_text

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct"
OTHERS = "20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
GPUS = ["GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3", "GPU-dddd-4"]


def cores(files: Mapping[str, str], *, allowed: int = 8) -> int:
    return count_usable_cores(allowed, lambda path: files.get(str(path)))


def v2(group: str, quotas: Mapping[str, str], *, mount: str = V2) -> dict[str, str]:
    """The files of a machine with this process in `group`, and each group's `cpu.max` by directory."""
    files = {"/proc/self/mountinfo": f"{OTHERS}\n{mount}\n", "/proc/self/cgroup": f"0::{group}\n"}
    return files | {f"/sys/fs/cgroup{directory}/cpu.max": text for directory, text in quotas.items()}


def test_cores_without_a_quota_are_those_of_the_affinity() -> None:
    assert cores({}) == 8
    assert cores(v2("/", {})) == 8
    assert cores(v2("/app", {"/app": "max 100000\n"})) == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 1), ("20000 100000", 1), ("350000 50000", 7), ("9900000 100000", 8)],
)
def test_cores_of_a_quota_are_rounded_down_to_one_at_least(quota: str, expected: int) -> None:
    assert cores(v2("/app", {"/app": f"{quota}\n"})) == expected


@pytest.mark.parametrize("tightest", ["/kube/pod/app", "/kube/pod", "/kube", ""])
def test_the_tightest_quota_above_a_group_holds(tightest: str) -> None:
    quotas = dict.fromkeys(["/kube/pod/app", "/kube/pod", "/kube", ""], "600000 100000")
    assert cores(v2("/kube/pod/app", quotas | {tightest: "300000 100000"})) == 3


def test_a_group_whose_own_directory_is_the_mount_is_found() -> None:
    """A container on the host's cgroup namespace sees its own group's directory mounted as the root."""
    mount = V2.replace(" / /sys", " /docker/abc /sys")
    assert cores(v2("/docker/abc", {"": "200000 100000"}, mount=mount)) == 2
    assert cores(v2("/docker/abc/inner", {"": "max 100000", "/inner": "300000 100000"}, mount=mount)) == 3


def test_a_group_outside_of_the_namespace_has_the_quota_of_the_mount() -> None:
    assert cores(v2("/../other", {"": "200000 100000"})) == 2


@pytest.mark.parametrize(("quota", "expected"), [("250000", 2), ("-1", 8), ("0", 8)])
def test_the_quota_of_version_1_holds(quota: str, expected: int) -> None:
    files = {
        "/proc/self/mountinfo": f"{OTHERS}\n{V1}\n{V2.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified')}\n",
        "/proc/self/cgroup": "4:memory:/other\n3:cpuacct,cpu:/docker/abc\n1:name=systemd:/\n0::/\n",
        "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": f"{quota}\n",
        "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert cores(files) == expected


def test_the_files_of_this_machine_can_be_read() -> None:
    assert 1 <= count_usable_cores(64, read_text) <= 64
    assert read_text(PurePosixPath("/nowhere")) is None


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, 4),
        ("", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("2", 1),
        ("3,0", 2),
        (" 1, 2", 2),
        ("0,-1,1", 1),
        ("0,4,1", 1),
        ("0,,1", 1),
        ("1,1", 0),
        ("GPU-cccc-3,GPU-aaaa-1", 2),
        ("GPU-cc", 1),
        ("GPU-aa", 0),
        ("GPU-cc,GPU-ee,GPU-dd", 1),
        ("GPU-cc,GPU-cccc", 0),
        ("GPU-cc,0", 1),
        ("MIG-1234", 1),
    ],
)
def test_visible_gpus_are_counted_as_cuda_counts_them(visible: str | None, expected: int) -> None:
    assert count_visible_gpus(visible, GPUS) == expected


@pytest.mark.parametrize("visible", [None, "0", "GPU-aa", "MIG-1"])
def test_no_gpu_is_visible_where_there_is_none(visible: str | None) -> None:
    assert count_visible_gpus(visible, []) == 0


def test_gpus_are_found_with_their_uuids_by_device_number(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia1", "nvidia0", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    for minor, uuid in ((1, "GPU-b"), (0, "GPU-a")):
        directory = tmp_path / "proc/driver/nvidia/gpus" / f"0000:0{minor}:00.0"
        directory.mkdir(parents=True)
        lines = (
            "Model:   NVIDIA H100",
            f"GPU UUID:   {uuid}",
            "Bus Location:   0000:01:00.0",
            f"Device Minor:   {minor}",
        )
        (directory / "information").write_text("\n".join(lines))
    assert find_gpus(tmp_path) == ["GPU-a", "GPU-b", ""]
    assert find_gpus(tmp_path / "none") == []
