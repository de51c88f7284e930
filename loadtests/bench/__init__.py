"""Benchmarks: the engine offline, a decode step, a server under load, the encoder cache."""
