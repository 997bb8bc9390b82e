"""Benchmarks of the whole service, beside others of its kind: see docs/benchmarks.md."""
