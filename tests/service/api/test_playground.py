"""The files of the playground: what they are sent with, and that they are small and open to everybody."""

import re

import pytest

from service.api import playground
from service.api.static_files import INDEX
from tests.support.asgi import call, post
from tests.support.scripted_app import ScriptedApp, scripted_app

MAX_BYTES = 150_000
FILES = [f"/playground/{path.name}" for path in playground.DIRECTORY.iterdir() if path.name != INDEX]


@pytest.mark.parametrize("path", ["/", *FILES])
async def test_every_file_has_a_strict_policy_and_is_checked_by_its_etag(scripted: ScriptedApp, path: str):
    answer = await call(scripted.app, "GET", path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    again = await call(scripted.app, "GET", path, headers={"If-None-Match": f'"other", W/{answer.headers["etag"]}'})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])


async def test_head_of_the_page_has_the_headers_of_get(scripted: ScriptedApp):
    got, head = await call(scripted.app, "GET", "/"), await call(scripted.app, "HEAD", "/")
    assert head.status == 200
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.body))


async def test_the_page_knows_the_limit_on_characters_without_a_request(scripted: ScriptedApp):
    assert b'data-max-characters="2000"' in (await call(scripted.app, "GET", "/")).body


async def test_the_page_names_only_files_that_are_served(scripted: ScriptedApp):
    page = (await call(scripted.app, "GET", "/")).body.decode()
    assert set(re.findall(r'"(playground/[^"]+)"', page)) <= {path.removeprefix("/") for path in FILES}
    assert not re.search(r"\b(?:style|on\w+)=", page), "inline styles and handlers"


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in playground.DIRECTORY.iterdir()) <= MAX_BYTES


async def test_the_page_needs_no_key():
    app = scripted_app(api_keys="alice:s3cret").app
    assert [(await call(app, "GET", path)).status for path in ("/", *FILES)] == [200] * (len(FILES) + 1)


async def test_a_server_without_the_page_has_none_of_its_files():
    app = scripted_app(has_playground=False).app
    assert {(await call(app, "GET", path)).status for path in FILES} == {404}
    assert (await call(app, "GET", "/")).status == 405, "POST / is Hugging Face's"


async def test_other_methods_are_refused(scripted: ScriptedApp):
    assert (await post(scripted.app, "/playground/main.js", {})).status == 405
