"""Hypothesis strategies for the values of a JSON schema, for the parts of JSON Schema that our OpenAPI uses."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MAX_ITEMS = 3


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values of this schema; unbounded strings and lists are short. Raises ValueError for an unsupported schema."""
    if "anyOf" in schema:
        return st.one_of([values(each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "number":
            return _numbers(schema)
        case "string":
            return st.text(
                st.characters(exclude_categories=["Cs"]),
                min_size=schema.get("minLength", 0),
                max_size=schema.get("maxLength", 20),
            )
        case "array":
            num_items = schema.get("minItems", 0), min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS)
            return st.lists(values(schema["items"]), min_size=num_items[0], max_size=num_items[1])
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            return _mappings(schema)
        case "object":
            return objects(schema)
        case None:
            return st.one_of(st.none(), st.booleans(), st.integers(), TEXT, st.lists(TEXT, max_size=MAX_ITEMS))
    raise ValueError(f"no values are known for {schema}")


def objects(schema: Schema, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`known` are strategies of fields that are always present."""
    fields = {name: known.get(name, values(field)) for name, field in schema.get("properties", {}).items()}
    required = {*schema.get("required", ()), *known}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


def _mappings(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    keys = values({"type": "string", **schema.get("propertyNames", {})})
    return st.dictionaries(keys, values(schema["additionalProperties"]), max_size=MAX_ITEMS)


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    return st.floats(
        above if low is None else low,
        below if high is None else high,
        exclude_min=above is not None,
        exclude_max=below is not None,
        allow_nan=False,
        allow_infinity=False,
    )
