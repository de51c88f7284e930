"""HTTP: schemas, errors, admission, middleware, and a module a family of routes."""
