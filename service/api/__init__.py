"""HTTP: schemas, errors, admission, middleware, and a module for each group of routes."""
