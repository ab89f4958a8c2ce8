"""Benchmarks of this project beside its alternatives, each a command: `python -m benchmarks.NAME`."""
