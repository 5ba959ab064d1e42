"""What stands in a program to copy; nothing is run."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.programs import KEYS, MESSAGES, v1_request, v2_request

from qianfan_magic import ParameterError
from qianfan_magic.api.config.settings import DEFAULT_BASE_URL, DEFAULT_CONSOLE_API_BASE_URL
from qianfan_magic.snippets import LANGUAGES, program
from qianfan_magic.snippets.python_literal import literal

SIGNED = v1_request(DEFAULT_BASE_URL, "access_key", stream=True)
BEARER = v2_request(DEFAULT_CONSOLE_API_BASE_URL, "bearer_token", stream=True)


def test_first_line_names_the_variables():
    for request in (SIGNED, replace(BEARER, app_id=True)):
        for language in LANGUAGES:
            first = program(request, language).splitlines()[0]
            assert first.startswith("# "), language
            named = {name for name in KEYS if name in first}
            assert named == set(request.variables), language


def test_curl_says_how_to_load_a_dot_env():
    assert "set -a; . ./.env; set +a" in program(SIGNED, "curl")


def test_curl_signs_the_host_that_curl_sends():
    for port in ("", ":443"):
        request = replace(SIGNED, url=f"https://aip.baidubce.com{port}/rpc/ep")
        assert "\nhost:aip.baidubce.com\n" in program(request, "curl"), port


def test_curl_buffers_nothing_of_a_stream():
    for stream in (True, False):
        request = replace(SIGNED, body={"messages": MESSAGES, "stream": stream})
        assert ("curl -sSN" in program(request, "curl")) is stream


def test_delimiter_does_not_occur_in_the_body():
    text = program(replace(SIGNED, body={"prompt": "EOF EOF_"}), "curl")
    assert "<<'EOF__'\n" in text
    assert text.endswith("\nEOF__\n")


def test_sdk_program_sets_no_default_address():
    for request in (SIGNED, BEARER):
        assert "_BASE_URL" not in program(request, "sdk"), request.url


def test_sdk_program_is_refused_if_the_sdk_would_not_send_a_parameter():
    for name in ("headers", "query", "request_timeout", "model"):
        with pytest.raises(ParameterError, match=f"takes {name} for itself"):
            program(replace(SIGNED, body={**SIGNED.body, name: "x"}), "sdk")


def test_unknown_language_is_refused():
    with pytest.raises(ParameterError, match="'ruby'") as refused:
        program(SIGNED, "ruby")
    assert refused.value.hint == "Write it as one of curl, python, sdk."


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_literal_is_the_value_in_printable_lines(value):
    text = literal(value)
    assert repr(ast.literal_eval(text)) == repr(value)
    assert all(c.isprintable() or c == "\n" for c in text)


@given(st.dictionaries(st.text(st.characters(exclude_categories=[])), JSON, max_size=4))
def test_body_of_curl_is_the_value_in_printable_lines(body):
    text = program(replace(SIGNED, body=body), "curl")
    assert all(c.isprintable() or c == "\n" for c in text)
    delimiter, lines = re.search(r"<<'(EOF_*)'\n(.*)\Z", text, re.DOTALL).groups()
    written, _, rest = lines.partition(f"\n{delimiter}\n")
    assert json.dumps(json.loads(written)) == json.dumps(body)
    assert rest == ""
