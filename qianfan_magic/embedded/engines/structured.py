"""JSON documents that fit a schema: the scripted engine's answers to a request with one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from qianfan_magic.api.fenced_json import last_json_block

__all__ = ["document", "schema_in"]

#: Deepest level that is filled; below it lists are empty and optional properties left out.
DEEPEST = 5
#: Number of items of a list whose schema does not say.
ITEMS = 3
#: Values by a word in the name of the property, in order for the items of a list.
VALUES: dict[str, tuple[Any, ...]] = {
    "city": ("Beijing", "Shanghai", "Xi'an"),
    "name": ("Beijing", "Shanghai", "Xi'an"),
    "title": ("A walk along the wall", "Tea in the garden", "The night market"),
    "country": ("China",),
    "capital": ("Beijing",),
    "population": (21_893_095, 24_870_895, 12_952_907),
    "year": (1957, 1987, 2012),
    "age": (23, 31, 47),
    "price": (12, 25, 40),
    "email": ("ming@example.com", "li@example.com", "wang@example.com"),
    "url": ("https://example.com/a", "https://example.com/b", "https://example.com/c"),
    "date": ("2012-06-05", "1987-12-11", "1957-10-15"),
    "language": ("Chinese", "English", "French"),
    "description": ("One of the three that are asked for most often.",),
}
#: Texts by the keyword ``format``.
FORMATS = {
    "date": "2012-06-05",
    "date-time": "2012-06-05T12:00:00Z",
    "time": "12:00:00Z",
    "email": "ming@example.com",
    "uri": "https://example.com/a",
    "uuid": "8f7d1f5e-3c0a-4a7e-9b60-0d2f4b8f2a11",
}
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


def schema_in(prompt: str) -> dict[str, Any] | None:
    """Return the JSON schema in the last fenced block of a prompt, if there is one."""
    value = last_json_block(prompt)
    is_schema = isinstance(value, dict) and value.keys() & {"type", "properties", "$ref", "anyOf"}
    return value if is_schema else None


def document(schema: Mapping[str, Any]) -> str:
    """Return a JSON document that fits a simple schema, always the same.

    Types, ``properties``, ``items``, ``enum``, ``const``, ``default``, references within the
    schema, and limits of numbers, texts and lists are known; ``pattern`` and the like are not.

    Examples
    --------
    >>> document({"type": "object", "properties": {"city": {"type": "string"}}})
    '{"city": "Beijing"}'
    """
    return json.dumps(_value(schema, schema, "", 0, 0), ensure_ascii=False)


def _value(schema: Any, root: Mapping[str, Any], name: str, index: int, depth: int) -> Any:
    schema = _resolved(schema, root)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][index % len(schema["enum"])]
    type_ = _type(schema)
    if type_ == "object":
        return _object(schema, root, index, depth)
    if type_ == "array":
        return _array(schema, root, name, depth)
    return _SIMPLE[type_](schema, name, index)


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references and take the first of several choices."""
    for _ in range(DEEPEST):
        if not isinstance(schema, Mapping):
            break
        choices = next((schema[k] for k in ("anyOf", "oneOf", "allOf") if schema.get(k)), None)
        if isinstance(schema.get("$ref"), str):
            schema = _find(root, schema["$ref"])
        elif isinstance(choices, list):
            schema = choices[0]
        else:
            return schema
    return {}


def _find(root: Any, reference: str) -> Any:
    for step in reference.removeprefix("#").split("/")[1:]:
        root = (
            root.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else {}
        )
    return root


def _type(schema: Mapping[str, Any]) -> str:
    type_ = schema.get("type")
    if isinstance(type_, list) and type_:
        type_ = type_[0]
    if type_ in TYPES:
        return str(type_)
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _object(
    schema: Mapping[str, Any], root: Mapping[str, Any], index: int, depth: int
) -> dict[str, Any]:
    properties, required = schema.get("properties"), schema.get("required", ())
    if not isinstance(properties, dict):
        return {}
    wanted = [n for n in properties if depth < DEEPEST or n in required]
    if depth > 2 * DEEPEST:  # a schema that requires itself
        return {}
    return {n: _value(properties[n], root, n, index, depth + 1) for n in wanted}


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int) -> list[Any]:
    least = _limit(schema, "minItems", 0)
    most = _limit(schema, "maxItems", ITEMS + least)
    count = min(max(ITEMS, least), most, 100) if depth < DEEPEST else least * (depth < 2 * DEEPEST)
    items = schema.get("items", {})
    return [_value(items, root, name, number, depth + 1) for number in range(count)]


def _limit(schema: Mapping[str, Any], name: str, default: int) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) and 0 <= value <= 10_000 else default  # noqa: PLR2004


def _known(name: str, index: int, type_: type | tuple[type, ...]) -> Any:
    """Return a value that suits the name of a property; None if none is known."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    for word in reversed(words):
        values = VALUES.get(word) or VALUES.get(word.removesuffix("s")) or ()
        if values and isinstance(values[0], type_):
            return values[index % len(values)]
    return "Beijing" if "cities" in words and type_ is str else None


def _string(schema: Mapping[str, Any], name: str, index: int) -> str:
    text = FORMATS.get(str(schema.get("format")))
    if text is None:
        text = _known(name, index, str) or f"{name.replace('_', ' ') or 'text'} {index + 1}"
    text = text.ljust(_limit(schema, "minLength", 0), ".")
    return text[: _limit(schema, "maxLength", len(text))]


def _number(schema: Mapping[str, Any], name: str, index: int) -> float:
    low, high = _bound(schema, "minimum", 1), _bound(schema, "maximum", -1)
    known = _known(name, index, (int, float))
    value: float = index + 1 if known is None else known
    if high is not None:
        value = min(value, high)
    if low is not None:
        value = max(value, low)
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step > 0:
        value = -(-value // step) * step
    return value


def _bound(schema: Mapping[str, Any], name: str, sign: int) -> float | None:
    """Return the smallest or largest number that a schema allows; None for no limit."""
    step = 1 if _type(schema) == "integer" else 0.5
    limits = [(schema.get(name), 0.0), (schema.get(f"exclusive{name.capitalize()}"), step)]
    found = [limit + sign * off for limit, off in limits if _is_number(limit)]
    if not found:
        return None
    return max(found) if sign > 0 else min(found)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SIMPLE: dict[str, Callable[[Mapping[str, Any], str, int], Any]] = {
    "string": _string,
    "number": _number,
    "integer": lambda schema, name, index: int(_number(schema, name, index)),
    "boolean": lambda _schema, _name, index: index % 2 == 0,
    "null": lambda *_: None,
}
