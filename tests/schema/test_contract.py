"""The exported schema holds the agreed contract, and the published copy is the exported one."""

from pathlib import Path

from graphql import DocumentNode, build_schema, find_breaking_changes, parse, print_ast

HERE = Path(__file__).parent
CONTRACT = (HERE / "contract.graphql").read_text()
PUBLISHED = HERE.parent.parent / "schema" / "schema.graphql"


def facts(document: DocumentNode) -> dict[str, str]:
    """Everything that a schema's text says, one entry each: ``Query.devices(first).default: 100``."""
    found: dict[str, str] = {}

    def say(path, node):
        for name in ("type", "default_value", "description"):
            if value := getattr(node, name, None):
                found[f"{path} {name}"] = value.value if name == "description" else print_ast(value)

    for definition in document.definitions:
        of_type = definition.name.value
        found[of_type] = definition.kind
        say(of_type, definition)
        members = (*(getattr(definition, "fields", None) or ()), *(getattr(definition, "values", None) or ()))
        for member in members:
            path = f"{of_type}.{member.name.value}"
            found[path] = member.kind
            say(path, member)
            for argument in getattr(member, "arguments", None) or ():
                within = f"{path}({argument.name.value})"
                found[within] = argument.kind
                say(within, argument)
                # Having no default is a fact, too.
                found.setdefault(f"{within} default_value", "none")
            if member.kind == "input_value_definition":
                found.setdefault(f"{path} default_value", "none")
    return found


def test_the_contract_is_exported_whole(executor):
    """Every type, field, argument, default, value, input field and description of the contract is in the export."""
    agreed = facts(parse(CONTRACT))
    exported = facts(parse(executor.sdl()))
    assert {key: exported.get(key) for key in agreed} == agreed


def test_the_contract_was_read(executor):
    """The comparison looks at types, arguments with and without defaults, and descriptions."""
    agreed = facts(parse(CONTRACT))
    assert agreed["Query.devices(first)"] == "input_value_definition"
    assert agreed["Query.devices(first) default_value"] == "100"
    assert agreed["Query.devices(after) default_value"] == "none"
    assert agreed["Query.devices(statuses) type"] == "[Status!]"
    assert agreed["EventKind.CHANGE description"] == "The device's status has changed."
    assert agreed["DeviceStatusInput.observedAt type"] == "DateTime"


def test_additions_break_no_client_of_the_contract(executor):
    """An operation written against the contract is valid against the export: no new argument is required."""
    assert find_breaking_changes(build_schema(CONTRACT), build_schema(executor.sdl())) == []


def test_scalars_say_where_they_are_specified(executor):
    """Both scalars carry @specifiedBy with an address."""
    schema = build_schema(executor.sdl())
    addresses = {name: schema.type_map[name].specified_by_url for name in ("DateTime", "Cursor")}
    assert addresses == {
        "DateTime": "https://www.rfc-editor.org/rfc/rfc3339",
        "Cursor": "https://www.rfc-editor.org/rfc/rfc4648#section-5",
    }


def test_the_published_schema_is_the_exported_one(executor):
    """schema/schema.graphql is what `device-status schema export` writes."""
    assert PUBLISHED.read_text() == executor.sdl(), "run `device-status schema export`"
