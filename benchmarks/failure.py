"""What makes a benchmark's figures worthless."""

__all__ = ["BenchmarkFailed", "PeerMissing"]


class BenchmarkFailed(Exception):
    """A delivery is missing or is one too many, a server has ended, or took too long."""


class PeerMissing(Exception):
    """A server to compare with can't run here; the text says why. Its figures are left out."""
