"""schema/PROTOCOL.md: each of its rules is proved by a test, and its table is the code's."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from graphql_api.delivery.close_codes import CloseCode

ROOT = Path(__file__).parents[1]
PROTOCOL = (ROOT / "schema" / "PROTOCOL.md").read_text(encoding="utf-8")
RULE = re.compile(r"\bG-\d+\b")
RULES = re.findall(r"^- \*\*(G-\d+)\*\*", PROTOCOL, re.MULTILINE)


def named_by_tests() -> Iterator[tuple[str, str]]:
    """Each rule that the docstring of a test names, and where."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for rule in RULE.findall(ast.get_docstring(node) or ""):
                    yield rule, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_each_rule_has_an_id_of_its_own():
    """No id stands for two rules, and the page names no rule that it does not have."""
    assert RULES, "expected rules that begin with '- **G-1**'"
    assert len(set(RULES)) == len(RULES)
    assert set(RULE.findall(PROTOCOL)) == set(RULES)


def test_no_rule_is_unproved():
    """The docstring of at least one test names each rule."""
    assert set(RULES) - {rule for rule, _ in named_by_tests()} == set()


def test_no_test_names_an_unknown_rule():
    """No docstring names a rule that the page does not have."""
    assert [f"{place} names {rule}" for rule, place in named_by_tests() if rule not in RULES] == []


def test_the_close_codes_are_those_of_the_code():
    """The page's table has a row for each close code, with its reason, its rule, and whether a client may retry."""
    rows = re.findall(r"^\| (\d{4}) \| (.*?) \| (.*?) \| (yes|no) \|$", PROTOCOL, re.MULTILINE)
    expected = [
        (str(code.value), code.reason, code.issued_when, "yes" if code.may_retry else "no") for code in CloseCode
    ]
    assert rows == expected
