"""The exceptions, the table of the service's codes, and how an error is displayed."""

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.wire.error_codes import CODES, api_error, token_error
from qianfan_magic.errors import (
    APIError,
    AuthError,
    ParameterError,
    QianfanError,
    RateLimitError,
    SettingsError,
    StreamError,
    TokenExpiredError,
    TransportError,
    one_line,
)
from qianfan_magic.masking import remember

# Version 1, from the platform's page of error codes and the tables of the models' documents: code,
# class, whether the request is retried. A refused token is not retried but replaced, once.
TABLE_V1 = [
    (1, APIError, True),
    (2, APIError, True),
    (3, APIError, False),
    (4, RateLimitError, True),
    (6, AuthError, False),
    (13, AuthError, False),
    (14, AuthError, False),
    (15, APIError, True),
    (17, RateLimitError, False),
    (18, RateLimitError, True),
    (19, RateLimitError, False),
    (100, TokenExpiredError, False),
    (110, TokenExpiredError, False),
    (111, TokenExpiredError, False),
    (336000, APIError, True),
    (336001, APIError, False),
    (336002, APIError, False),
    (336003, APIError, False),
    (336004, AuthError, False),
    (336005, APIError, False),
    (336006, APIError, False),
    (336007, APIError, False),
    (336100, APIError, True),
    (336101, APIError, False),
    (336103, APIError, False),
    (336501, RateLimitError, True),
    (336502, RateLimitError, True),
]

# Version 2, from its page "错误码": code, HTTP status it comes with, class, whether it is retried.
# Rate limits have no rows in the package's table; they are recognised as a family.
LIMITS = ["rpm", "tpm", "input_tpm", "output_tpm", "user", "cluster", "cluster_rpm", "cluster_tpm"]
TABLE_V2 = [
    ("malformed_json", 400, APIError, False),
    ("invalid_model", 400, APIError, False),
    ("invalid_model", 401, APIError, False),
    ("invalid_messages", 400, APIError, False),
    ("characters_too_long", 400, APIError, False),
    ("tokens_too_long", 400, APIError, False),
    ("invalid_argument", 400, APIError, False),
    ("invalid_image_url", 400, APIError, False),
    ("invalid_plugin_argument", 400, APIError, False),
    ("image_url_unsafe", 400, APIError, False),
    ("no_parameter_permission", 401, AuthError, False),
    ("invalid_appid", 401, AuthError, False),
    ("invalid_iam_token", 401, TokenExpiredError, False),
    ("system_unsafe", 403, APIError, False),
    ("user_setting_unsafe", 403, APIError, False),
    ("functions_unsafe", 403, APIError, False),
    ("account_overdue", 403, AuthError, False),
    ("model_offline", 403, APIError, False),
    ("method_not_supported", 405, APIError, False),
    *((f"{limit}_rate_limit_exceeded", 429, RateLimitError, True) for limit in LIMITS),
    ("preemptible_rate_limit_exceeded", 429, RateLimitError, True),
    ("Offline_batch_reasoning_refused", 429, APIError, True),
    ("internal_error", 500, APIError, True),
    ("dispatch_internal_error", 500, APIError, True),
    # Keys of subscription plans, as reported by users of other clients.
    ("coding_plan_api_key_not_allowed", 401, AuthError, False),
    ("coding_plan_hour_quota_exceeded", 401, AuthError, False),
    ("token_plan_person_api_key_required", 401, AuthError, False),
]


def test_table_has_exactly_the_documented_codes():
    numbers = {code for code in CODES if isinstance(code, int)}
    words = {code for code in CODES if isinstance(code, str)}
    assert numbers == {row[0] for row in TABLE_V1}
    assert words <= {row[0] for row in TABLE_V2}


def test_each_code_has_its_class_retry_and_hint():
    rows = [(code, 200, error, retry) for code, error, retry in TABLE_V1] + TABLE_V2
    for code, status, error, retry in rows:
        found = api_error(code, "words", status=status)
        assert type(found) is error, code
        assert found.retryable is retry, code
        assert f"error {code}, " in found.message
        assert found.hint.endswith((".", "?")), code


def test_unknown_code_is_classified_by_its_status():
    cases = [
        (0, APIError, False),
        (200, APIError, False),
        (400, APIError, False),
        (401, AuthError, False),
        (403, AuthError, False),
        (404, APIError, False),
        (429, RateLimitError, True),
    ]
    for code in ("something_new", 424242):
        for status, error, retry in cases:
            found = api_error(code, "words", status=status)
            assert type(found) is error, (code, status)
            assert found.retryable is retry, (code, status)
    found = api_error("something_new", "words")
    assert "something_new, an error that is not in the table: words" in found.message
    assert found.hint == "See the words above."


def test_codes_for_too_much_text_are_recognised():
    other_servers = ("context_length_exceeded", "exceed_context_size_error")
    for code in (336007, 336103, "characters_too_long", "tokens_too_long", *other_servers):
        assert api_error(code, "words").is_too_long, code
    for code in (336006, "invalid_messages", "", "tokens"):
        assert not api_error(code, "words").is_too_long, code


def test_hint_of_a_code_names_the_remedy():
    remedies = {
        17: "billing",
        19: "billing",
        336006: "odd",
        336007: "Shorten",
        336103: "Shorten",
        336005: "-e",
        14: "belongs in QIANFAN_AK",
        "invalid_model": "-m",
        "invalid_iam_token": "QIANFAN_API_KEY",
        "invalid_appid": "QIANFAN_APP_ID",
        "account_overdue": "billing",
        "tokens_too_long": "Shorten",
        "coding_plan_api_key_not_allowed": "plan",
    }
    for code, remedy in remedies.items():
        assert remedy in api_error(code, "").hint, code


def test_own_meanings_and_hints_are_not_masked():
    for code, row in CODES.items():
        found = api_error(code, "words")
        assert row.meaning in found.message, code
        assert found.hint == row.hint, code


def test_message_has_the_code_and_the_message_of_the_service():
    message = api_error(110, "Access token invalid or no longer valid").message
    assert "110" in message
    assert "Access token invalid or no longer valid" in message


def test_api_error_has_the_attributes_of_the_response():
    error = api_error(336501, "Rate limit", status=429, request_id="as-1", retry_after=7.5)
    assert error.error_code == 336501
    assert error.error_msg == "Rate limit"
    assert error.status == 429
    assert error.request_id == "as-1"
    assert error.retry_after == 7.5
    assert error.partial == ""


def test_status_and_id_of_the_request_are_empty_if_they_are_unknown():
    found = api_error(336501, "Rate limit")
    assert (found.status, found.request_id) == (0, "")
    assert token_error("invalid_client", "a").status == 0


def test_error_of_a_token_endpoint_names_the_wrong_key():
    no_credential = "NotFound, cause: Could not find credential."
    no_match = "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match"
    cases = [
        ("invalid_client", "unknown client id", "QIANFAN_AK is not"),
        ("invalid_client", "Client authentication failed", "QIANFAN_SK is not"),
        ("NotFound", no_credential, "QIANFAN_ACCESS_KEY is not"),
        ("SignatureDoesNotMatch", no_match, "QIANFAN_SECRET_KEY is not"),
        ("SignatureDoesNotMatch", "", "QIANFAN_SECRET_KEY is not"),
        ("RequestExpired", "", "This computer's clock is wrong"),
        ("invalid_scope", "what is that", "Check the keys"),
    ]
    for error, description, beginning in cases:
        found = token_error(error, description, status=401)
        assert type(found) is AuthError, error
        assert found.error_code == error
        assert found.error_msg == description, error
        assert f"({error}): {description}".rstrip() in found.message
        assert found.status == 401, error
        assert found.hint.startswith(beginning), (error, description)


def test_error_is_not_retryable_by_default():
    for error in (QianfanError("a"), StreamError("a"), token_error("invalid_client", "a")):
        assert error.retryable is False, error
    assert token_error("unavailable", "a", retryable=True).retryable is True


def test_hierarchy_of_the_errors():
    parents = [
        (SettingsError, QianfanError),
        (ParameterError, QianfanError),
        (ParameterError, ValueError),
        (TransportError, QianfanError),
        (StreamError, QianfanError),
        (APIError, QianfanError),
        (AuthError, APIError),
        (TokenExpiredError, AuthError),
        (RateLimitError, APIError),
    ]
    for error, parent in parents:
        assert issubclass(error, parent), (error, parent)


def test_one_line_folds_whitespace_and_escapes_what_is_not_printable():
    cases = {
        "a\nb\r\nc\td": "a b c d",
        "a\u2028b\u0085c": "a b c",
        "  a  ": "a",
        "\x1b[31mred": r"\x1b[31mred",
        "a\0b": r"a\x00b",
        "bell\a": r"bell\x07",
        "a\x7fb": r"a\x7fb",
        "\u202eevil": r"\u202eevil",
        "\u2066evil\u2069": r"\u2066evil\u2069",
        "zero\u200bwidth": r"zero\u200bwidth",
        "\ud800": r"\ud800",
        "\U000e0041": r"\U000e0041",
        "你好，世界 😀 é": "你好，世界 😀 é",
    }
    assert {text: one_line(text) for text in cases} == cases


@given(st.text(st.characters(exclude_categories=())))
def test_one_line_is_printable(text):
    assert one_line(text).isprintable()


def test_one_line_is_at_most_five_hundred_characters():
    assert one_line("x" * 500) == "x" * 500
    assert one_line("x" * 501) == "x" * 499 + "…"


def test_secret_at_the_cut_is_masked():
    remember("hush-hush-hush")
    for before in ("x " * 240, " " * 1_990):
        assert "hush" not in one_line(f"{before}hush-hush-hush"), len(before)


def test_error_shows_no_secret():
    error = api_error(1, "access_token=hush", request_id="client_secret=hush")
    for text in (str(error), repr(error), repr(error.args), repr(vars(error))):
        assert "hush" not in text
    assert error.error_msg == "access_token=***"
    assert QianfanError("", hint="client_secret=hush").hint == "client_secret=***"


def test_error_is_displayed_as_message_and_hint():
    error = ParameterError("It\nbroke", hint="Mend\nit.")
    assert str(error) == "It broke\nMend it."
    assert error._render_traceback_() == ["ParameterError: It broke", "→ Mend it."]
    without_hint = StreamError("It broke")
    assert str(without_hint) == "It broke"
    assert without_hint._render_traceback_() == ["StreamError: It broke"]


def test_copy_of_an_error_keeps_everything():
    for error in [
        SettingsError("a", hint="b"),
        ParameterError("a", hint="b"),
        TransportError("a", hint="b", retryable=True, retry_after=2.5),
        StreamError("a", hint="b", partial="half an ans"),
        api_error(336501, "a", status=429, request_id="as-1", retry_after=1.0),
        api_error(110, "a"),
        token_error("invalid_client", "unknown client id"),
    ]:
        for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(copied) is type(error)
            assert vars(copied) == vars(error), error
            assert str(copied) == str(error)
