"""What may be the id of a school or of a device."""

import unicodedata

__all__ = ["LONGEST_IDENTIFIER", "identifier_problem"]

LONGEST_IDENTIFIER = 128
"""Characters of an id at most."""


def identifier_problem(name: str, value: str) -> str | None:
    """What is wrong with an id, as a sentence that calls it ``name``, or None.

    An id has 1 to 128 characters, and none of them is a control character or half of a surrogate
    pair (which no encoding carries).
    """
    if not value:
        return f"Expected {name} to have 1 to {LONGEST_IDENTIFIER} characters, but it is empty."
    if len(value) > LONGEST_IDENTIFIER:
        return f"Expected {name} to have 1 to {LONGEST_IDENTIFIER} characters, but it has {len(value)}."
    if not value.isascii() or not value.isprintable():
        for character in value:
            if unicodedata.category(character) in ("Cc", "Cs"):
                return f"Expected {name} to have no control characters, but it has U+{ord(character):04X}."
    return None
