"""Every request that the schema allows gets a documented answer from real workers, and leaves nothing behind."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.api.openapi import App
from service.app import Service, build_service
from service.settings import Settings
from tests.support.documented_answers import EXPLAIN, STREAM, TRANSLATE, bodies, check_body, check_query, queries
from tests.support.scripted_app import scripted_app

LANGUAGE = st.sampled_from(["de", "fr", "de-DE", "DE"])
TEXTS = st.sampled_from(["Hello", "One.\nTwo.\nOne.", "x" * 1_500, "\u3042\u0301 👩\u200d👩\u200d👧", "A dog runs."])
SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "text": st.one_of(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)),
    "source_lang": st.just("en"),
    "target_lang": st.one_of(LANGUAGE, st.lists(LANGUAGE, min_size=1, max_size=3)),
    "model": st.none(),
    "max_new_tokens": st.integers(1, 20),
    "format": st.just("text"),
}
IDLE_SECONDS = 20.0


class RealApp:
    """The whole service in this process, with one worker, on an event loop of its own."""

    def __init__(self, checkpoint: Path) -> None:
        self._runner = asyncio.Runner()
        settings = Settings(model=str(checkpoint), workers=1, max_rows=4, max_queue_tokens=2_000, timeout_seconds=20)
        self._service: Service = build_service(settings, on_fatal=lambda error: pytest.fail(str(error)))
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.run(self._start())

    @property
    def app(self) -> App:
        app = self._service.app
        assert isinstance(app, App)
        return app

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    async def wait_idle(self) -> None:
        async with asyncio.timeout(IDLE_SECONDS):
            while not self._service.engine.is_idle:
                await asyncio.sleep(0.01)

    async def _start(self) -> None:
        await self._lifespan.__aenter__()
        await self._service.engine.wait_ready()


@pytest.fixture(scope="module")
def real(random_checkpoint: Path) -> Iterator[RealApp]:
    served = RealApp(random_checkpoint)
    yield served
    served.close()


LIMITS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DESCRIBED = scripted_app().app
"""The same routes and schemas, known without starting anything."""


@LIMITS
@given(body=st.one_of([bodies(DESCRIBED, TRANSLATE, **known) for known in (SENSIBLE, {})]))
def test_every_body_that_the_schema_allows_is_answered(real: RealApp, body: dict[str, Any]) -> None:
    event(str(real.run(check_body(real.app, TRANSLATE, body)).status))
    real.run(real.wait_idle())


@LIMITS
@given(query=st.one_of([queries(DESCRIBED, STREAM, **known) for known in (SENSIBLE, {})]))
def test_every_query_that_the_schema_allows_is_answered(real: RealApp, query: bytes) -> None:
    event(str(real.run(check_query(real.app, STREAM, query)).status))
    real.run(real.wait_idle())


@LIMITS
@given(body=st.one_of([bodies(DESCRIBED, EXPLAIN, **known) for known in (SENSIBLE, {})]))
def test_every_explanation_that_the_schema_allows_is_answered(real: RealApp, body: dict[str, Any]) -> None:
    event(str(real.run(check_body(real.app, EXPLAIN, body)).status))
    real.run(real.wait_idle())
