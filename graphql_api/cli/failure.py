"""How a command ends that can't do what it was asked for: sentences on stderr and an exit code."""

__all__ = ["FAILED", "MISUSED", "CommandFailed"]

FAILED = 1
"""Exit code: it could not be done."""

MISUSED = 2
"""Exit code: the command line or the settings are wrong."""


class CommandFailed(Exception):
    """What was expected does not hold; each of ``sentences`` is a line for the person who gave the command."""

    def __init__(self, *sentences: str, exit_code: int = FAILED) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences
        self.exit_code = exit_code
