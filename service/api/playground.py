"""`GET /`: the playground, a page over the native API, and its files under `/playground/`. They need no key."""

from html import escape
from pathlib import Path
from string import Template

from starlette.routing import Route

from service.api.openapi import DocumentedRoute, Operation
from service.api.static_files import INDEX, MEDIA_TYPES, file_endpoint, file_routes

DIRECTORY = Path(__file__).parent.parent / "playground"


def create_routes(*, max_text_characters: int, version: str) -> list[Route]:
    values = {"max_text_characters": str(max_text_characters), "version": escape(version)}
    index = Template((DIRECTORY / INDEX).read_text(encoding="utf-8")).substitute(values)
    operation = Operation(
        method="GET",
        path="/",
        tag="playground",
        summary="The playground",
        description="A page to translate with, and to see the model and the server work.",
        media_type=MEDIA_TYPES[".html"],
    )
    return [
        DocumentedRoute(operation, file_endpoint(index.encode(), MEDIA_TYPES[".html"])),
        *file_routes(DIRECTORY, prefix="/playground"),
    ]
