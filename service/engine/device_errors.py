"""Tell errors of a step from those after which a device refuses everything this process asks of it.

CUDA reports some errors, an illegal access among them, with every later call. Only a new process can go on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.engine.checkpoint_loop import UnusableDeviceError


@contextmanager
def device_errors(synchronize: Callable[[], None]) -> Iterator[None]:
    """Turn an error into UnusableDeviceError if `synchronize`, which waits for the device, fails after it too."""
    try:
        yield
    except Exception as error:
        try:
            synchronize()
        except Exception:
            raise UnusableDeviceError(f"the device is unusable after {type(error).__name__}: {error}") from error
        raise
