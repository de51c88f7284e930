"""Copies to a GPU are started from dense pinned memory, from which alone no side waits."""

import pytest
import torch
from torch import Tensor

from model.transformer.upload import pinned


def test_strided_tensors_are_dense_before_they_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: given.append(tensor) or tensor)  # needs a GPU
    state = torch.arange(12).view(3, 4)[:, 1:3]
    assert torch.equal(pinned(state), state)
    assert [each.is_contiguous() for each in given] == [True]
