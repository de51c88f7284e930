"""`GET /docs`: Swagger UI over `/openapi.json`, with its files under `/docs/`. They need no key."""

from pathlib import Path

from starlette.routing import Route

from service.api.static_files import INDEX, MEDIA_TYPES, FileRoute, file_endpoint, file_routes

DIRECTORY = Path(__file__).parent.parent / "swagger_ui"
DESCRIPTION_PATH = "/openapi.json"
PAGE_PATH = "/docs"


def create_routes() -> list[Route]:
    index = (DIRECTORY / INDEX).read_bytes()
    return [
        FileRoute(PAGE_PATH, file_endpoint(index, MEDIA_TYPES[".html"]), methods=["GET"]),
        *file_routes(DIRECTORY, prefix=PAGE_PATH),
    ]
