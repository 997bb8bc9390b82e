"""The table of close codes, and the length of a close reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import graphql_api
from graphql_api.delivery.close_codes import MAX_REASON_BYTES, CloseCode, close_reason

PACKAGE = Path(graphql_api.__file__).parent
# 1000 is also a plain thousand, so it can't be told from one.
LITERALS = {1002, 1007, 1009, 1012, 1013, *range(4400, 4500)}


def close_code_literals(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and str(node.value) in map(str, LITERALS):
            yield node.lineno


def test_no_other_module_has_a_literal_close_code():
    """Close codes are written as numbers in their table and nowhere else."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "close_codes.py"
        for line in close_code_literals(path.read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize("source", ["close(4403)", "close('1013')", "if code == 4_429: pass"])
def test_the_search_for_literals_finds_them(source):
    """The search above sees numbers, numbers in strings, and underscores."""
    assert list(close_code_literals(source)) == [1]


def test_the_table_is_the_documented_one():
    """The codes that clients build on are all there, and no others."""
    assert {code.value for code in CloseCode} == {
        1000, 1002, 1007, 1009, 1012, 1013, 4400, 4401, 4403, 4406, 4408, 4409, 4429,
    }  # fmt: skip


def test_retry_is_what_clients_do():
    """A code is retryable exactly where the graphql-ws client retries by itself."""
    assert {code.value for code in CloseCode if code.may_retry} == {1012, 1013, 4403, 4408}


@pytest.mark.parametrize("code", CloseCode)
def test_every_row_is_complete(code):
    """Each code has a default reason that fits a close frame, and says when it is issued."""
    assert close_reason(code.reason) == code.reason
    assert code.reason
    assert code.issued_when


def test_a_code_is_its_number():
    """A row can be handed over where a number is expected."""
    assert CloseCode.FORBIDDEN == 4403
    assert CloseCode(4403) is CloseCode.FORBIDDEN


@given(st.text(st.characters()))
@example("x" * 200)
@example("é" * 100)
@example("x" + "€" * 100)
@example("😀" * 31)
@example("\ud800" * 200)
def test_a_reason_is_the_longest_prefix_that_fits(text):
    """A reason has at most 123 bytes, is cut between characters, and no shorter than it must be."""
    reason = close_reason(text)
    wanted = text.encode("utf-8", "replace").decode()

    assert len(reason.encode()) <= MAX_REASON_BYTES
    assert wanted.startswith(reason)
    assert reason == wanted or len(wanted[: len(reason) + 1].encode()) > MAX_REASON_BYTES
