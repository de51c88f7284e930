"""Benchmarks: the server under load, measured from outside."""
