"""``listed(column, ids)``: whether a column is one of the ids in a single parameter.

An ordinary ``IN`` has a parameter for each id: SQLite limits their number, and every length is
another statement to compile. Here thousands of ids are one parameter of one statement.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Boolean, Text, TypeDecorator, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

__all__ = ["listed"]


class _Ids(TypeDecorator[Collection[str]]):
    """An array on PostgreSQL, a JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> Any:
        ids = list(value or ())
        return ids if dialect.name == "postgresql" else json.dumps(ids)


class _Listed(FunctionElement[bool]):
    name = "listed"
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> "_Listed":  # noqa: ARG002 - whatever it is part of
        """As it is: SQLAlchemy would compare it with 1, and SQLite use no index for that."""
        return self


def listed(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """The condition that the column is among the ids of the parameter with this name."""
    return _Listed(column, bindparam(name, type_=_Ids()))


@compiles(_Listed, "postgresql")
def _on_postgresql(element: _Listed, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = element.clauses
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(ids, **options)})"


@compiles(_Listed, "sqlite")
def _on_sqlite(element: _Listed, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = element.clauses
    column_sql, ids_sql = compiler.process(column, **options), compiler.process(ids, **options)
    return f"{column_sql} IN (SELECT value FROM json_each({ids_sql}))"  # noqa: S608 - compiled pieces of a statement
