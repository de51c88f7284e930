"""Glossaries that clients keep on the server."""
