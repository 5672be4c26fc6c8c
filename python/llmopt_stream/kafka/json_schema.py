"""JSON Schemas, and payloads checked by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from llmopt_stream._optional import needs
from llmopt_stream.errors import SerializationError

__all__ = ["json_checker"]

_EXTRA = "schema-registry"


def json_checker(schema: str, referred: Mapping[str, str]) -> Callable[[bytes], None]:
    """What refuses payloads that are not of a schema, with those that it refers to, by their names.

    Raises whatever a schema or payload leads to. Nothing is looked up in the network.
    """
    jsonschema = needs("jsonschema", _EXTRA)
    referencing = needs("referencing", _EXTRA)
    contents = json.loads(schema)
    dialect = jsonschema.validators.validator_for(contents)
    dialect.check_schema(contents)
    specification = referencing.jsonschema.specification_with(
        dialect.META_SCHEMA.get("$schema", ""), default=referencing.jsonschema.DRAFT202012
    )
    registry = referencing.Registry().with_resources(
        (name, specification.create_resource(_of_dialect(json.loads(each))))
        for name, each in referred.items()
    )

    def unique_items(_: Any, is_asked: bool, items: Any, __: Any) -> Iterator[Any]:
        if is_asked and isinstance(items, list) and len({_identity(each) for each in items}) < len(items):
            yield jsonschema.ValidationError("two items are equal")

    # jsonschema compares each item with each other one.
    kind = jsonschema.validators.extend(dialect, {"uniqueItems": unique_items})
    validator = kind(_of_dialect(contents), registry=registry)

    def check(payload: bytes) -> None:
        fault = next(validator.iter_errors(json.loads(payload)), None)
        if fault is not None:
            raise SerializationError(f"{fault.json_path}: not as the schema says")

    return check


def _of_dialect(schema: Any) -> Any:
    """A schema of the validator that looks at it, and of no other one by its `$schema`."""
    return (
        {name: each for name, each in schema.items() if name != "$schema"}
        if isinstance(schema, dict)
        else schema
    )


def _identity(value: Any) -> Hashable:
    """Equal of equal JSON values only: 1 is 1.0, and not true."""
    if isinstance(value, dict):
        return dict, frozenset((name, _identity(each)) for name, each in value.items())
    if isinstance(value, list):
        return list, tuple(map(_identity, value))
    return isinstance(value, bool), value
