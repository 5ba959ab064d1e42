"""Validation of version 1's requests, against the API documents of the four models."""

from __future__ import annotations

import json
from typing import Any

from support.embedded_client import AQUILA, DOLLY, SERVICES, STABLELM, STARCODER, v1_body
from support.embedded_client import v1_messages as messages

from qianfan_magic.api.catalogue.parameters import PARAMETERS, is_supported
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.validation_v1 import parse_request
from qianfan_magic.errors import ParameterError


def parse(service: str, body: Any) -> ServerRequest:
    _, folder, endpoint = service.split("/")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_request(folder, endpoint, content, seed=0)


def rejection(service: str, body: Any) -> tuple[int | str, str]:
    """Return the error code and message of an invalid request, or 0 and an empty message."""
    try:
        parse(service, body)
    except ServiceError as error:
        return error.error_code, error.error_msg
    return 0, ""


def error_code(service: str, body: Any) -> int | str:
    return rejection(service, body)[0]


# --- endpoints


def test_unknown_endpoint_is_rejected():
    for service in ("/chat/ngxxxol8_test1", "/completions/nothing", "/chat/dolly"):
        assert error_code(service, v1_body(service, "hi")) == 336005, service


def test_endpoint_in_the_wrong_folder_is_rejected():
    for service in ("/completions/dolly_12b", "/chat/starcoder"):
        body = v1_body(DOLLY, "hi") | v1_body(STARCODER, "hi")
        assert error_code(service, body) == 336005, service


def test_endpoint_may_have_a_prefix():
    """Qianfan's console puts one before the name when a model is deployed."""
    for name, service in SERVICES.items():
        folder, endpoint = service.rsplit("/", 1)
        request = parse(f"{folder}/ngxxxol8_{endpoint}", v1_body(service, "hi"))
        assert request.card.name == name


# --- bodies


def test_body_that_is_not_json_is_rejected():
    for body in (b"", b"{", b"hi", b"\xff\xfe", b'{"prompt": "\\ud800"}', b"[" * 100_000):
        assert error_code(STARCODER, body) == 336002, body[:20]


def test_body_without_its_required_field_is_rejected():
    for service in (DOLLY, STARCODER):
        for body in ([], "text", 1, None, {}):
            assert error_code(service, body) == 336001, (service, body)


def roles(*names: str) -> list[dict[str, str]]:
    return [{"role": name, "content": "x"} for name in names]


INVALID_MESSAGES = {
    "none": ([], 336003),
    "two": (roles("user", "assistant"), 336006),
    "four": (messages("a", "b", "c", "d"), 336006),
    "assistant only": (roles("assistant"), 336006),
    "user three times": (roles("user", "user", "user"), 336006),
    "assistant first": (roles("assistant", "user", "assistant"), 336006),
    "system first": (roles("system", "user", "assistant"), 336006),
    "unknown role": (roles("robot"), 336006),
    "no role": ([{"content": "x"}], 336006),
    "no content": ([{"role": "user"}], 336001),
    "empty content": (messages(""), 336003),
    "blank content": (messages(" \n\t"), 336003),
    "empty answer": (messages("a", "", "c"), 336003),
    "number as content": (messages(1), 336003),
    "list as content": (messages(["x"]), 336003),
    "string as message": (["hi"], 336003),
    "string as messages": ("hi", 336003),
    "object as messages": ({"role": "user", "content": "x"}, 336003),
}


def test_invalid_messages_are_rejected():
    for name, (value, code) in INVALID_MESSAGES.items():
        assert error_code(DOLLY, {"messages": value}) == code, name


def test_odd_number_of_messages_is_accepted():
    for count in (1, 3, 9):
        assert error_code(DOLLY, {"messages": messages(*["x"] * count)}) == 0, count


def test_invalid_prompt_is_rejected():
    for prompt in ("", " \n", 1, ["x"]):
        assert error_code(STARCODER, {"prompt": prompt}) == 336003, prompt


def test_stream_must_be_a_bool():
    for value in (False, True):
        assert parse(STARCODER, {"prompt": "x", "stream": value}).stream is value
    for invalid in ("true", 1, 0, None):
        assert error_code(STARCODER, {"prompt": "x", "stream": invalid}) == 336003, invalid


# --- limits


def test_dolly_accepts_4800_characters_in_all_messages():
    """Dolly-12B's document; Chinese characters count once."""
    for contents, code in (
        (["x" * 4_800], 0),
        (["x" * 4_801], 336007),
        (["长" * 4_800], 0),
        (["长" * 4_801], 336007),
        (["x" * 2_000, "y" * 2_000, "z" * 800], 0),
        (["x" * 2_000, "y" * 2_000, "z" * 801], 336007),
    ):
        assert error_code(DOLLY, {"messages": messages(*contents)}) == code, len(contents[-1])


def test_other_models_have_no_limit_of_characters():
    for service in (STARCODER, AQUILA, STABLELM):
        assert error_code(service, {"prompt": "x" * 10_000}) == 0, service


def test_stablelm_accepts_4096_tokens():
    assert error_code(STABLELM, {"prompt": "字" * 4_096}) == 0
    assert error_code(STABLELM, {"prompt": "字" * 4_097}) == 336103


# --- parameters

#: Each is valid for some parameters and invalid for others.
VALUES: list[Any] = [None, True, "text", "END", 0, -1, 1, 1.0, 1.5, 10_000, {}, [], ["a"] * 4]
VALUES += [["a"] * 5, ["长" * 20], ["x" * 21], [1], [None], "json_object", "xml"]


def test_parameters_are_validated_by_the_table():
    for service, kind in ((DOLLY, "chat"), (STARCODER, "completion")):
        for row in PARAMETERS:
            if not is_supported(row, kind, ApiVersion.V1):
                continue
            parameter = row.within(ApiVersion.V1)
            wire_name = row.support[ApiVersion.V1].wire or row.name
            bounds = [bound for bound in (parameter.minimum, parameter.maximum) if bound]
            for value in VALUES + [bound + step for bound in bounds for step in (-1, 0, 0.01, 1)]:
                body = v1_body(service, "hi") | {wire_name: value}
                try:
                    expected = parameter.check(value)
                except ParameterError:
                    message = f"{wire_name} must be {parameter.range}"
                    assert rejection(service, body) == (336003, message), body
                else:
                    assert parse(service, body).parameters == {row.name: expected}, body


def test_unsupported_fields_are_ignored():
    unsupported = {
        row.name: {} for row in PARAMETERS if not is_supported(row, "completion", ApiVersion.V1)
    }
    body = {"prompt": "hi", "nonsense": 1, "max_output_tokens": {}} | unsupported
    assert parse(STARCODER, body).parameters == {}


# --- functions

ERNIE = "/chat/completions"
CALL = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "function", "name": "f", "content": "5"}
ASKED = {"role": "user", "content": "hi"}


def test_functions_and_their_results_are_read_where_the_model_has_them():
    body = {"messages": [ASKED, CALL, RESULT], "functions": [{"name": "f"}]}
    request = parse(ERNIE, body)
    assert request.tools == ({"name": "f"},)
    assert request.tool_results == (("f", "{}", "5"),)
    assert error_code(DOLLY, body) == 336001  # a call has no content


def test_wrong_functions_are_rejected():
    named = {"type": "function", "function": {"name": "g"}}
    for changed, code in (
        ({"functions": {"f": 1}}, 336003),
        ({"functions": [{}]}, 336003),
        ({"functions": [{"name": "f"}], "tool_choice": named}, 336003),
        ({"functions": [{"name": "f"}], "tool_choice": "required"}, 336003),
        ({"messages": [ASKED, {"role": "assistant", "content": "no"}, RESULT]}, 336006),
        ({"messages": [RESULT]}, 336006),
    ):
        assert error_code(ERNIE, {"messages": [ASKED]} | changed) == code, changed
