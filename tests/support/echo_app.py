"""An HTTP app with the shape of ours, whose translation of a text is the text with the language behind it."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MAX_TEXTS = 100


async def _translate(request: Request) -> Response:
    body = await request.json()
    if len(body["text"]) > MAX_TEXTS:
        return JSONResponse({"detail": f"the limit is {MAX_TEXTS}"}, status_code=413)
    texts = [f"{text} {target}" for text in body["text"] for target in body["target_lang"]]
    return JSONResponse({"translations": [{"text": text} for text in texts]})


def echo_app() -> Starlette:
    return Starlette(routes=[Route("/v1/translations", _translate, methods=["POST"])])
