"""Load tests that users run, and benchmarks for developers: see README.md."""
