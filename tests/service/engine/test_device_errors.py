"""An error is final if the device fails after it, too."""

import pytest

from service.engine.checkpoint_loop import UnusableDeviceError
from service.engine.device_errors import device_errors


def fail() -> None:
    raise RuntimeError("an illegal memory access was encountered")


def test_error_after_which_the_device_works_is_passed_on() -> None:
    with pytest.raises(MemoryError), device_errors(lambda: None):
        raise MemoryError


def test_error_after_which_the_device_fails_is_final() -> None:
    with pytest.raises(UnusableDeviceError, match="unusable after ValueError: of the step"), device_errors(fail):
        raise ValueError("of the step")


def test_device_is_left_alone_without_an_error() -> None:
    with device_errors(fail):
        pass
