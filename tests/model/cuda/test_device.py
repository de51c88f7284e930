"""What a process does before it computes on a GPU, and which kernels it takes there."""

from collections.abc import Iterator

import pytest
import torch

from model.cuda.device import use_device


@pytest.fixture
def attention_of_cudnn() -> Iterator[None]:
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:1", 1)])
@pytest.mark.usefixtures("attention_of_cudnn")
def test_process_on_a_gpu_uses_its_device_and_no_attention_of_cudnn(
    name: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    use_device(torch.device(name))
    assert used == [index]
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()
