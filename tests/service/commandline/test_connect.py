"""The server that `--url` names."""

import pytest

from service.commandline.connect import connect
from service.commandline.errors import CommandError, ExitStatus


@pytest.mark.parametrize("url", ["", "ftp://example.com", "http://", "http://example.com:port"])
async def test_an_url_that_is_no_address_of_a_server_is_a_wrong_argument(url: str) -> None:
    with pytest.raises(CommandError, match=r"^--url ") as raised:
        async with connect(url=url, api_key=None, model=None, needs_workers=True):
            pass
    assert raised.value.status == ExitStatus.USAGE
