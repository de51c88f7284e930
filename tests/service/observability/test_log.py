"""Laws: a record is one line with its request's ids; an error in a request does not quote the request."""

import asyncio
import json
import logging
from contextvars import copy_context

import pytest

from service.observability.log import JsonFormatter, TextFormatter, set_request_ids

SECRET = "zeppelin"


def record(message: str, error: Exception | None = None, **fields: object) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("a.logger", logging.INFO, __file__, 1, message, (), exc_info)
    made.__dict__["fields"] = fields
    return made


def failure() -> Exception:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"no {SECRET}") from error
    except ValueError as error:
        return error


def in_request(formatter: logging.Formatter, made: logging.LogRecord) -> str:
    def run() -> str:
        set_request_ids(request_id="req-1", trace_id=None)
        return formatter.format(made)

    return copy_context().run(run)


def test_a_json_record_has_its_fields_and_the_ids_of_its_request():
    made = record('two\n"lines" 日本', status=200, texts=["日本"])
    line = in_request(JsonFormatter(with_texts=False), made)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["message"], entry["level"], entry["logger"]) == ('two\n"lines" 日本', "info", "a.logger")
    assert (entry["status"], entry["texts"], entry["request_id"]) == (200, ["日本"], "req-1")
    assert "trace_id" not in entry
    assert "request_id" not in json.loads(JsonFormatter(with_texts=False).format(record("outside")))


def test_a_text_record_has_them_too():
    line = in_request(TextFormatter(with_texts=False), record("done", route="/v1/x", text="two words", stream=True))
    assert line.endswith('INFO    a.logger: done route=/v1/x text="two words" stream=true request_id=req-1')


@pytest.mark.parametrize("kind", [JsonFormatter, TextFormatter])
def test_an_error_in_a_request_is_told_without_its_message(kind: type[JsonFormatter | TextFormatter]):
    line = in_request(kind(with_texts=False), record("failed", failure()))
    assert SECRET not in line
    assert "KeyError" in line
    assert "ValueError" in line
    assert "in failure" in line
    assert SECRET in in_request(kind(with_texts=True), record("failed", failure()))
    assert SECRET in kind(with_texts=False).format(record("failed", failure()))


async def test_what_a_request_begins_has_its_ids_and_its_neighbours_have_not():
    async def serve(request_id: str) -> str:
        set_request_ids(request_id=request_id)
        await asyncio.sleep(0)
        made = await asyncio.to_thread(JsonFormatter(with_texts=False).format, record("begun"))
        return str(json.loads(made)["request_id"])

    tasks = [asyncio.create_task(serve(name)) for name in ("a", "b")]
    assert [await task for task in tasks] == ["a", "b"]
    assert "request_id" not in JsonFormatter(with_texts=False).format(record("outside"))
