"""The typed options of the client, compared with the table of parameters."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from qianfan_magic.api.catalogue.parameters import PARAMETERS, SENDING
from qianfan_magic.api.options import ChatOptions, CompletionOptions

#: The type that the table has for each annotation, without the None that leaves it out.
TYPES = {"float": float, "int": int, "bool": bool, "str": str, "list[str]": list}


#: The options that are not rows of the table.
OUTSIDE = {"chat": {"endpoint", "model", "schema"}, "completion": {"endpoint", "model"}}


@pytest.mark.parametrize(
    ("kind", "options"), [("chat", ChatOptions), ("completion", CompletionOptions)]
)
def test_options_are_those_of_the_table(kind, options):
    rows = [row for row in (*PARAMETERS, *SENDING) if kind in row.kinds]
    assert set(get_type_hints(options)) == {row.name for row in rows} | OUTSIDE[kind]


def test_types_are_those_of_the_table():
    written = {**ChatOptions.__annotations__, **CompletionOptions.__annotations__}
    for row in (*PARAMETERS, *SENDING):
        annotation = written[row.name].__forward_arg__.removesuffix(" | None")
        if row.choices:
            assert all(repr(choice) in annotation for choice in row.choices), row.name
        elif row.type is not object:
            # The field of the request itself may stand for its parameters.
            assert TYPES[annotation.removesuffix(" | dict[str, Any]")] is row.type, row.name
