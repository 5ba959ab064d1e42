"""Answers with a structure: a schema is requested, and the answer is checked against it.

`jsonschema` and `pydantic` are an extra, and imported late.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from importlib import import_module
from typing import Any

from qianfan_magic.api.catalogue.parameter import plain_json
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.extras import import_extra
from qianfan_magic.api.fenced_json import JsonAnswer, read_json
from qianfan_magic.api.types import Kind, Reply
from qianfan_magic.api.wire.messages import begins_answer
from qianfan_magic.errors import ParameterError, SchemaError
from qianfan_magic.language import mark, tr

__all__ = ["Schema", "check_reply", "read_schema"]

#: Largest length of a schema's name in ``response_format``, as OpenAI's document states it.
LONGEST_NAME = 64
#: Keywords whose values are data, in which ``$ref`` refers to nothing.
_DATA = frozenset({"const", "default", "enum", "examples"})
#: Keywords whose values are schemas by name.
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_ACCEPTED = mark("a JSON schema (a dict), a pydantic model or a dataclass")


@dataclass(frozen=True, slots=True, repr=False)
class Schema:
    """A schema that an answer has to fit.

    Attributes
    ----------
    name
        The name in the request: the name of the class, or the title of the JSON schema.
    document
        The JSON schema.
    parse
        Converts the JSON of an answer to the object that the schema describes; raises a
        `SchemaError` if it does not fit.
    """

    name: str
    document: Mapping[str, Any]
    parse: Callable[[JsonAnswer], Any] = field(compare=False)

    @property
    def instruction(self) -> str:
        """The text that asks for such an answer, for a model that takes no schema."""
        text = json.dumps(self.document, ensure_ascii=False)
        return (
            f"\n\nAnswer with JSON that fits this schema, and nothing else:\n```json\n{text}\n```"
        )

    def text_for(self, service: Service) -> str:
        """Return the text that is added to the question; empty if the service takes a schema."""
        return "" if service.can_schema else self.instruction

    def response_format(self, service: Service) -> dict[str, Any] | None:
        """Return the field ``response_format`` that carries the schema; None if it cannot."""
        if not service.can_schema:
            return None
        described = {"name": self.name, "schema": dict(self.document), "strict": True}
        return {"type": "json_schema", "json_schema": described}

    def messages(self, kind: Kind, content: Any, service: Service) -> Any:
        """Return the messages of a chat with what has to be added to the question.

        Raises
        ------
        ParameterError
            If it is not a chat.
        """
        if kind != "chat":
            raise ParameterError(
                tr("schema is an option of chats"), hint=tr("Use chat, %%qianfan_chat.")
            )
        text = self.text_for(service)
        if not (text and isinstance(content, Sequence) and content):
            return content
        # The beginning of the answer may follow the question.
        count = len(content) - begins_answer(content[-1])
        if not count or not isinstance(content[count - 1], Mapping):
            return content  # the wire refuses what are no messages
        return [*content[: count - 1], _with_text(content[count - 1], text), *content[count:]]


def _with_text(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        content += text
    elif isinstance(content, list):
        content = [*content, {"type": "text", "text": text.strip()}]
    return {**message, "content": content}


def check_reply(reply: Reply, schema: Any) -> Reply:
    """Check an answer against a schema.

    Parameters
    ----------
    reply
        The answer; words around its only fenced block are left out.
    schema
        A JSON schema (a dict), a pydantic model, or a dataclass.

    Returns
    -------
    Reply
        The same, with the object in `Reply.parsed`.

    Raises
    ------
    SchemaError
        If the answer is not JSON, or does not fit; it names the place, and has the reply.
    ParameterError
        If the schema is none, or the extra ``schema`` is not installed.

    Examples
    --------
    >>> check_reply(Reply(text="[1]"), {"type": "array"}).parsed
    [1]
    """
    read = read_schema(schema)
    try:
        return replace(reply, parsed=read.parse(read_json(reply.text)))
    except SchemaError as error:
        error.reply = reply
        raise
    except ValueError as error:
        raise SchemaError(
            tr("The answer is not JSON: {error}", error=error),
            hint=tr("Its text is kept. Ask again, or use a model that takes a schema."),
            reply=reply,
        ) from None


def read_schema(source: Any) -> Schema:
    """Read a schema.

    Parameters
    ----------
    source
        A JSON schema (a dict; draft 2020-12 unless ``$schema`` names another), a pydantic model,
        a dataclass, or a `Schema`.

    Raises
    ------
    ParameterError
        If it is none of them, is not valid, or refers to another document, which is not fetched;
        or if the extra ``schema`` is not installed.
    """
    if isinstance(source, Schema):
        return source
    if isinstance(source, Mapping):
        return _from_document(source)
    if isinstance(source, type) and (is_dataclass(source) or hasattr(source, "model_json_schema")):
        return _from_class(source)
    raise ParameterError(
        tr(
            "schema is {name}, but must be {accepted}",
            name=type(source).__name__,
            accepted=tr(_ACCEPTED),
        )
    )


def _from_class(source: type) -> Schema:
    pydantic = import_extra("pydantic", "schema")
    try:
        adapter = pydantic.TypeAdapter(source)
        document = _without_other_properties(adapter.json_schema())
    except (pydantic.PydanticUserError, NameError, TypeError) as error:
        raise ParameterError(
            tr("{name} has no JSON schema: {error}", name=source.__name__, error=error)
        ) from None

    def parse(answer: JsonAnswer) -> Any:
        try:
            return adapter.validate_json(answer.text)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _misfit(first["loc"], first["msg"]) from None

    return Schema(_name(source.__name__), document, parse)


def _without_other_properties(node: Any, *, is_map: bool = False) -> Any:
    """Return a class's schema in which objects have no properties that it does not name.

    OpenAI's strict mode requires that, and a small model would go on inventing properties. What an
    answer has beyond them is still up to the class: pydantic ignores it by default. In a map of
    schemas the names are no keywords.
    """
    if isinstance(node, list):
        return [_without_other_properties(child) for child in node]
    if not isinstance(node, dict):
        return node
    is_object = "properties" in node and not is_map
    closed = {"additionalProperties": False} if is_object else {}
    return closed | {
        name: child
        if name in _DATA and not is_map
        else _without_other_properties(child, is_map=name in _MAPS and not is_map)
        for name, child in node.items()
    }


def _from_document(source: Mapping[str, Any]) -> Schema:
    jsonschema = import_extra("jsonschema", "schema")
    document = plain_json(dict(source))
    if document is None:
        raise ParameterError(tr("schema holds what JSON cannot carry"))
    make = jsonschema.validators.validator_for(document, jsonschema.Draft202012Validator)
    try:
        make.check_schema(document)
    except jsonschema.SchemaError as error:
        place = _place(error.absolute_path)
        raise ParameterError(
            tr("schema is not valid at {place}: {problem}", place=place, problem=error.message)
        ) from None
    # Without a registry, jsonschema would fetch what the schema refers to.
    registry = import_module("referencing").Registry()
    _check_references(document, make, registry)
    validator = make(document, registry=registry)

    def parse(answer: JsonAnswer) -> Any:
        found = jsonschema.exceptions.best_match(validator.iter_errors(answer.value))
        if found is not None:
            raise _misfit(found.absolute_path, found.message)
        return answer.value

    return Schema(_name(str(document.get("title", ""))), document, parse)


def _check_references(document: dict[str, Any], make: Any, registry: Any) -> None:
    """Raise a `ParameterError` if a reference leads out of the document, or nowhere."""
    specifications = import_module("referencing.jsonschema")
    unresolvable = import_module("referencing.exceptions").Unresolvable
    dialect = str(document.get("$schema") or make.META_SCHEMA["$schema"])
    specification = specifications.specification_with(dialect, default=specifications.DRAFT202012)
    resource = specification.create_resource(document)
    known = import_module("jsonschema_specifications").REGISTRY.combine(registry)
    base = str(document.get("$id", ""))
    resolver = known.with_resource(base, resource).crawl().resolver(base)
    for reference in _references(document):
        try:
            resolver.lookup(reference)
        except unresolvable:
            raise ParameterError(
                tr(
                    "schema refers to {reference!r}, which it does not contain", reference=reference
                ),
                hint=tr("Put it under $defs. Other documents are never fetched."),
            ) from None


def _references(node: Any, *, is_map: bool = False) -> Iterator[str]:
    """Yield the references of a schema; in a map of schemas, the names are no keywords."""
    if not isinstance(node, dict):
        for child in node if isinstance(node, list) else ():
            yield from _references(child)
        return
    for name, child in node.items():
        if isinstance(child, str) and name in _REFERENCES and not is_map:
            yield child
        elif is_map or name not in _DATA:
            yield from _references(child, is_map=name in _MAPS and not is_map)


def _misfit(path: Iterable[str | int], message: str) -> SchemaError:
    place = _place(path)
    return SchemaError(
        tr(
            "The answer does not fit the schema at {place}: {problem}", place=place, problem=message
        ),
        hint=tr("Its text is kept. Ask again, or say in the question what is expected there."),
        place=place,
    )


def _place(path: Iterable[str | int]) -> str:
    """Write a path as JSONPath (RFC 9535) does."""
    return "$" + "".join(_step(step) for step in path)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{step!r}]"


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:LONGEST_NAME] or "answer"
