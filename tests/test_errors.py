"""The tree of errors, the service's codes, and how an error is shown."""

import copy
import pickle

import pytest
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

# The platform's page of error codes and the tables of the models' documents. A refused token is
# not sent again (False): it is replaced first, once.
TABLE = [
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


# Version 2: its error page ("错误码"), each with the HTTP statuses it comes with. A rate limit
# that is in no row of the package's goes by its family.
LIMITS = ["rpm", "tpm", "input_tpm", "output_tpm", "user", "cluster", "cluster_rpm", "cluster_tpm"]
TABLE_2 = [
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
    # Keys of subscription plans, as other clients have met them.
    ("coding_plan_api_key_not_allowed", 401, AuthError, False),
    ("coding_plan_hour_quota_exceeded", 401, AuthError, False),
    ("token_plan_person_api_key_required", 401, AuthError, False),
]


def test_table_has_just_the_documented_codes():
    numbers = [code for code in CODES if isinstance(code, int)]
    assert sorted(numbers) == [code for code, _, _ in TABLE]


def test_table_has_no_undocumented_words():
    words = {code for code in CODES if isinstance(code, str)}
    assert words - {row[0] for row in TABLE_2} == set()


@pytest.mark.parametrize(("code", "status", "error", "again"), TABLE_2)
def test_word_gives_its_class_and_whether_to_try_again(code, status, error, again):
    found = api_error(code, "words", status=status)
    assert (type(found), found.retryable) == (error, again)


@pytest.mark.parametrize(("code", "status"), [row[:2] for row in TABLE_2])
def test_word_says_what_it_means_and_what_to_do(code, status):
    found = api_error(code, "words", status=status)
    assert (code in found.message, found.hint.endswith((".", "?"))) == (True, True)


@pytest.mark.parametrize(
    ("status", "error", "again"),
    [
        (200, APIError, False),
        (400, APIError, False),
        (401, AuthError, False),
        (403, AuthError, False),
        (404, APIError, False),
        (429, RateLimitError, True),
    ],
)
def test_word_in_no_table_goes_by_its_status(status, error, again):
    found = api_error("something_new", "words", status=status)
    assert (type(found), found.retryable) == (error, again)


@pytest.mark.parametrize("code", [336007, 336103, "characters_too_long", "tokens_too_long"])
def test_too_long_is_told_in_both_versions(code):
    assert api_error(code, "words").is_too_long


@pytest.mark.parametrize("code", [336006, "invalid_messages", "", "tokens"])
def test_other_codes_are_not_too_long(code):
    assert not api_error(code, "words").is_too_long


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("invalid_model", "-m"),
        ("invalid_iam_token", "QIANFAN_BEARER_TOKEN"),
        ("invalid_appid", "QIANFAN_APP_ID"),
        ("account_overdue", "billing"),
        ("tokens_too_long", "Shorten"),
        ("coding_plan_api_key_not_allowed", "plan"),
    ],
)
def test_hint_of_a_word_names_the_remedy(code, word):
    assert word in api_error(code, "").hint


@pytest.mark.parametrize(("code", "error"), [(code, error) for code, error, _ in TABLE])
def test_code_gives_its_class(code, error):
    assert type(api_error(code, "words")) is error


@pytest.mark.parametrize(("code", "again"), [(code, again) for code, _, again in TABLE])
def test_code_tells_whether_to_try_again(code, again):
    assert api_error(code, "words").retryable is again


@pytest.mark.parametrize("code", [code for code, _, _ in TABLE])
def test_code_says_what_to_do(code):
    assert api_error(code, "words").hint.endswith((".", "?"))


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (17, "billing"),
        (19, "billing"),
        (336006, "odd"),
        (336007, "Shorten"),
        (336103, "Shorten"),
        (336005, "-e"),
        (14, "clock"),
    ],
)
def test_hint_of_a_code_names_the_remedy(code, word):
    assert word in api_error(code, "").hint


def test_unknown_code_is_a_plain_api_error():
    assert type(api_error(424242, "words")) is APIError


def test_unknown_code_is_not_tried_again():
    assert not api_error(424242, "words").retryable


@pytest.mark.parametrize("code", CODES)
def test_own_words_are_not_masked(code):
    found = api_error(code, "words")
    assert (CODES[code].meaning in found.message, CODES[code].hint) == (True, found.hint)


def test_message_has_code_and_words():
    message = api_error(110, "Access token invalid or no longer valid").message
    assert "110" in message
    assert "Access token invalid or no longer valid" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error_code", 336501),
        ("error_msg", "Rate limit"),
        ("request_id", "as-1"),
        ("retry_after", 7.5),
        ("partial", ""),
    ],
)
def test_api_error_keeps(name, value):
    error = api_error(336501, "Rate limit", request_id="as-1", retry_after=7.5)
    assert getattr(error, name) == value


@pytest.mark.parametrize(
    ("description", "variable"),
    [("unknown client id", "QIANFAN_ACCESS_KEY"), ("Client authentication failed", "QIANFAN_SK")],
)
def test_refusal_of_the_token_endpoint_names_the_wrong_key(description, variable):
    assert variable in token_error("invalid_client", description).hint


@pytest.mark.parametrize(
    ("code", "words", "variable"),
    [
        ("NotFound", "NotFound, cause: Could not find credential.", "QIANFAN_ACCESS_KEY"),
        (
            "SignatureDoesNotMatch",
            "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match",
            "QIANFAN_SECRET_KEY",
        ),
        ("SignatureDoesNotMatch", "", "QIANFAN_SECRET_KEY"),
        ("RequestExpired", "", "clock"),
    ],
)
def test_refusal_of_iam_names_the_wrong_key(code, words, variable):
    assert token_error(code, words).hint.partition(" ")[0] == variable or (
        variable == "clock" and "clock" in token_error(code, words).hint
    )


def test_unknown_refusal_of_the_token_endpoint_has_a_hint():
    assert "keys" in token_error("invalid_scope", "what is that").hint


def test_refusal_of_the_token_endpoint_is_an_auth_error():
    error = token_error("invalid_client", "unknown client id")
    assert (type(error), error.error_code) == (AuthError, "invalid_client")


@pytest.mark.parametrize(
    "error", [QianfanError("a"), StreamError("a"), token_error("invalid_client", "a")]
)
def test_error_is_not_tried_again_unless_it_says_so(error):
    assert error.retryable is False


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        (SettingsError, QianfanError),
        (ParameterError, QianfanError),
        (ParameterError, ValueError),
        (TransportError, QianfanError),
        (StreamError, QianfanError),
        (APIError, QianfanError),
        (AuthError, APIError),
        (TokenExpiredError, AuthError),
        (RateLimitError, APIError),
    ],
)
def test_error_is_of_the_kind(error, parent):
    assert issubclass(error, parent)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\nc\td", "a b c d"),
        ("a\u2028b\u0085c", "a b c"),
        ("  a  ", "a"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\0b", r"a\x00b"),
        ("bell\a", r"bell\x07"),
        ("a\x7fb", r"a\x7fb"),
        ("\u202eevil", r"\u202eevil"),
        ("\u2066evil\u2069", r"\u2066evil\u2069"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("你好，世界 😀 é", "你好，世界 😀 é"),
    ],
)
def test_one_line_shows(text, shown):
    assert one_line(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_one_line_is_printable_whatever_it_is_given(text):
    assert one_line(text).isprintable()


def test_five_hundred_characters_are_kept():
    assert one_line("x" * 500) == "x" * 500


def test_the_five_hundred_and_first_character_is_cut():
    assert one_line("x" * 501) == "x" * 499 + "…"


def test_secret_at_the_cut_does_not_show():
    text = "x" * 480 + " client_secret=hush-hush-hush"
    assert "hush" not in one_line(text)


@pytest.mark.parametrize("show", [str, repr, lambda error: error.hint, lambda error: error.args])
def test_error_shows_no_secret(show):
    error = QianfanError("access_token=hush", hint="client_secret=hush")
    assert "hush" not in str(show(error))


def test_words_of_the_service_show_no_secret():
    assert api_error(1, "access_token=hush").error_msg == "access_token=***"


def test_text_of_an_error_is_message_and_hint():
    assert str(QianfanError("It broke", hint="Mend it.")) == "It broke\nMend it."


def test_text_of_an_error_without_a_hint_is_the_message():
    assert str(QianfanError("It broke")) == "It broke"


def test_traceback_is_two_lines():
    error = ParameterError("It\nbroke", hint="Mend\nit.")
    assert error._render_traceback_() == ["ParameterError: It broke", "→ Mend it."]


def test_traceback_without_a_hint_is_one_line():
    assert StreamError("It broke")._render_traceback_() == ["StreamError: It broke"]


ERRORS = [
    SettingsError("a", hint="b"),
    ParameterError("a", hint="b"),
    TransportError("a", hint="b", retryable=True, retry_after=2.5),
    StreamError("a", hint="b", partial="half an ans"),
    api_error(336501, "a", request_id="as-1", retry_after=1.0),
    api_error(110, "a"),
    token_error("invalid_client", "unknown client id"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_pickled_error_is_of_its_class(error):
    assert type(pickle.loads(pickle.dumps(error))) is type(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_copy_of_an_error_keeps_everything(error, again):
    assert vars(again(error)) == vars(error)


def test_pickled_error_keeps_its_text():
    error = StreamError("a", hint="b", partial="c")
    assert str(pickle.loads(pickle.dumps(error))) == "a\nb"
