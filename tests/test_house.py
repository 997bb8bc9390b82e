"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "graphql_api").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LONGEST_FILE = 350
LONGEST_FUNCTION = 60

# A full stop that ends a sentence is followed by space, or ends the text: not that of `a.b`, 1.5 or `...`.
SENTENCE_END = re.compile(r"(?<![.])[.](?=\s)")


def tracked_files():
    """What git knows or would take; outside of a repository, what the source has."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_every_test_says_what_it_proves():
    """Each test function has a docstring of one sentence."""
    wrong = []
    for path in TESTS:
        for function in functions(path):
            if not function.name.startswith("test_"):
                continue
            text = (ast.get_docstring(function) or "").strip()
            if not text.endswith(".") or SENTENCE_END.search(text[:-1] + " "):
                wrong.append(f"{name(path)}:{function.lineno} {function.name}: {text!r}")
    assert wrong == []


def test_every_module_says_what_it_is():
    """Each module of the package begins with a docstring."""
    assert [name(path) for path in PACKAGE if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_a_file_fits_in_the_head():
    """No file of the package has more than 350 lines."""
    lengths = {name(path): len(path.read_text().splitlines()) for path in PACKAGE}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_a_function_fits_on_a_screen():
    """No function of the package has more than 60 lines."""
    long = {
        f"{name(path)}:{function.name}": length
        for path in PACKAGE
        for function in functions(path)
        if (length := function.end_lineno - function.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


# Put together, so that this file does not hold what it looks for.
HOSTS = re.compile(r"(?:py" r"pi|pythonhosted|npm" r"js|registry\.yarn" r"pkg|conda\.ana" r"conda)\.(?:org|com)")
PLACES = re.compile(r"(?<![\w.~$}/-])/(?:work|ro" r"ot|home)/[\w.-]")


@pytest.mark.parametrize("pattern", [HOSTS, PLACES], ids=["package registries", "places on one machine"])
def test_no_file_names(pattern):
    """Nothing in the repository depends on one index of packages, or on one machine's folders."""
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name(path)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize("page", ["docs/benchmarks.md", "docs/clients.md", "docs/design.md", "SECURITY.md"])
def test_documentation_names_what_exists(page):
    """Every path that a page names is there."""
    named = re.findall(r"`((?:graphql_api|benchmarks|tests|schema|docs)/[\w./-]*)`", (ROOT / page).read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_room_is_in_the_design():
    """The page on the design names each folder and each module at the top of the package."""
    page = (ROOT / "docs" / "design.md").read_text()
    top = [path for path in (ROOT / "graphql_api").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    rooms = {name(path) + "/" * path.is_dir() for path in top if path.name != "__init__.py"}
    assert sorted(room for room in rooms if f"`{room}`" not in page) == []
