"""Finds the API that a path belongs to, whether or not the path exists."""

from collections.abc import Iterable, Mapping

from starlette.routing import BaseRoute

from service.api.dialect import Dialect
from service.api.errors import NATIVE
from service.api.openapi import DocumentedRoute


class DialectIndex:
    """The dialect of a path is that of its route, else that of the first matching prefix, else the native one."""

    def __init__(self, routes: Iterable[BaseRoute], prefixes: Mapping[str, Dialect]) -> None:
        documented = [route for route in routes if isinstance(route, DocumentedRoute)]
        self._by_path = {route.path: route.operation.dialect for route in documented}
        self._prefixes = tuple(prefixes.items())

    def __call__(self, path: str) -> Dialect:
        found = self._by_path.get(path)
        if found is not None:
            return found
        return next((dialect for prefix, dialect in self._prefixes if path.startswith(prefix)), NATIVE)
