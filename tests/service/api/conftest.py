from collections.abc import AsyncIterator

import pytest

from tests.support.scripted_app import ScriptedApp, scripted_app


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedApp]:
    """Idle before, and after."""
    scripted = scripted_app()
    yield scripted
    assert scripted.is_idle(), "a request has left something behind"
