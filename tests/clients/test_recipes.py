"""docs/clients.md shows the files that are run here."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PAGE = (ROOT / "docs" / "clients.md").read_text()
README = (ROOT / "README.md").read_text()
SHOWN = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def test_the_page_shows_what_is_run():
    """Each block of code on the page is a file of the tests, word for word."""
    assert PAGE.count("\n```") == 2 * len(SHOWN)
    assert [name for name, text in SHOWN.items() if (ROOT / name).read_text() != text] == []


def test_every_recipe_is_on_the_page():
    """No recipe is left out; what stands for the reader's own code is told by name."""
    recipes = {*(HERE / "javascript").glob("*.js"), *(HERE / "python").glob("*.py")}
    recipes -= {HERE / "python" / "__init__.py", HERE / "javascript" / "yours.js"}
    assert {path.relative_to(ROOT).as_posix() for path in recipes} == set(SHOWN)
    exported = re.findall(r"^export const (\w+)", (HERE / "javascript" / "yours.js").read_text(), re.MULTILINE)
    assert [name for name in exported if not re.search(rf"^\| `{name}\b", PAGE, re.MULTILINE)] == []


def test_the_readme_shows_the_same_lines():
    """The README's lines that keep cursors are those of the recipe."""
    _, snippet = re.findall(r"^```js\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines, _, _ = snippet.partition("createClient(")
    assert "resumeFrom" in snippet
    assert lines in SHOWN["tests/clients/javascript/socket.js"]


def test_the_packages_are_locked_without_a_registry():
    """Each package has an exact version and a hash, and the lock file names no place to get it from."""
    folder = HERE / "javascript"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    del packages[""]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, package in packages.items() if not package["integrity"] or "resolved" in package] == []
