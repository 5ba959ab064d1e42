"""The service's error codes: the meaning of each, a hint for the user, and its exception.

To add a code, add a row to `CODES`. The rows of version 1 have numbers, those of version 2 words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.errors import APIError, AuthError, RateLimitError, TokenExpiredError

__all__ = ["CODES", "ErrorCode", "api_error", "token_error"]


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the error table.

    Attributes
    ----------
    meaning
        What the code means, as part of a sentence.
    hint
        What the user can do, as whole sentences.
    error
        The exception that is raised.
    retry
        Whether the same request may succeed later. An expired token is not retried by this rule:
        the request is repeated with a new token.
    """

    meaning: str
    hint: str
    error: type[APIError] = APIError
    retry: bool = False


_AGAIN = "This is a temporary problem of the service: run the cell again in a while."
_SLOWER = "You are sending faster than your quota allows: wait a minute, or ask for a higher quota."
_BILLING = "Open billing for this service in the Qianfan console, or settle the account."
_KEYS = "Check the keys in your .env: are they of the application that owns this service?"
_WORDS = "The reason is in the service's message above."
_BEARER = (
    "Check QIANFAN_API_KEY, or create a new API key in the Qianfan console: it begins with "
    "bce-v3. Keys and access tokens of version 1 are not valid here."
)
_APP = "Check QIANFAN_APP_ID, or leave it out."
_PLAN = "Create an API key without a plan in the console, for QIANFAN_API_KEY."
_ENDPOINT = (
    "Check -e: it is the last part of the service's address. A model that is named by -m may no "
    "longer be served."
)
_BUG = "The service refused the shape of the request; %%qianfan_chat --dry-run shows what is sent."

#: Codes of version 1, from the tables "错误码" of the models' API documents and of the platform's
#: page of error codes; codes of version 2, from its own page of that name (Om9b4yj3w).
CODES: dict[int | str, ErrorCode] = {
    1: ErrorCode("unknown error", _AGAIN, retry=True),
    2: ErrorCode("service temporarily unavailable", _AGAIN, retry=True),
    3: ErrorCode("no such API", _ENDPOINT),
    4: ErrorCode("the cluster's limit is reached", _AGAIN, RateLimitError, retry=True),
    6: ErrorCode(
        "no permission", "Is the service published, and by the owner of these keys?", AuthError
    ),
    13: ErrorCode("the service's token is not valid", _KEYS, AuthError),
    14: ErrorCode(
        "signature failed",
        "Check QIANFAN_SECRET_KEY and this computer's clock. An API Key of an application belongs "
        "in QIANFAN_AK, with QIANFAN_SK.",
        AuthError,
    ),
    15: ErrorCode("the application was not found", _AGAIN, retry=True),
    17: ErrorCode("the daily limit is reached", _BILLING, RateLimitError),
    18: ErrorCode("the limit of requests a second is reached", _SLOWER, RateLimitError, retry=True),
    19: ErrorCode("the total limit is reached", _BILLING, RateLimitError),
    100: ErrorCode("the access token parameter is not valid", _KEYS, TokenExpiredError),
    110: ErrorCode("the access token is not valid", _KEYS, TokenExpiredError),
    111: ErrorCode("the access token has expired", _KEYS, TokenExpiredError),
    336000: ErrorCode("internal error", _AGAIN, retry=True),
    336001: ErrorCode("an argument is missing or malformed", _BUG),
    336002: ErrorCode("the body is not JSON", _BUG),
    336003: ErrorCode("a parameter was refused", _WORDS),
    336004: ErrorCode("permission error", _KEYS, AuthError),
    336005: ErrorCode("no such endpoint", _ENDPOINT),
    336006: ErrorCode(
        "the messages are out of order",
        "Their number must be odd and their roles user, assistant, user, …, the user's last.",
    ),
    336007: ErrorCode("the text has too many characters", "Shorten the cell, or %qianfan reset."),
    336100: ErrorCode("too many people are talking to the model", _AGAIN, retry=True),
    336101: ErrorCode(
        "the method must be POST", "Is QIANFAN_BASE_URL a gateway that changes requests?"
    ),
    336103: ErrorCode("the text has too many tokens", "Shorten the cell, or %qianfan reset."),
    336501: ErrorCode(
        "the limit of requests a minute is reached", _SLOWER, RateLimitError, retry=True
    ),
    336502: ErrorCode(
        "the limit of tokens a minute is reached", _SLOWER, RateLimitError, retry=True
    ),
}

# Added in a second step: some rows of version 2 are those of version 1.
CODES |= {
    "malformed_json": ErrorCode("the body is not JSON", _BUG),
    "invalid_model": ErrorCode(
        "there is no such model, or not for these keys",
        "Check -m: %qianfan models lists the available ones.",
    ),
    "invalid_messages": ErrorCode("the messages were refused", _WORDS),
    "invalid_argument": ErrorCode("a parameter was refused", _WORDS),
    "invalid_image_url": ErrorCode(
        "a picture was refused", "It must have less than 6,000 pixels a side, and at least 5."
    ),
    "characters_too_long": CODES[336007],
    "tokens_too_long": CODES[336103],
    "no_parameter_permission": ErrorCode("a parameter is not for these keys", _WORDS, AuthError),
    "invalid_appid": ErrorCode("these keys may not use the application", _APP, AuthError),
    "invalid_iam_token": ErrorCode(
        "the bearer token is not valid or has expired", _BEARER, TokenExpiredError
    ),
    "account_overdue": ErrorCode("the account is in arrears", _BILLING, AuthError),
    "model_offline": ErrorCode(
        "the model is no longer served", "Choose another one: %qianfan models lists them."
    ),
    "method_not_supported": CODES[336101],
    "Offline_batch_reasoning_refused": ErrorCode("there is no capacity now", _AGAIN, retry=True),
    "internal_error": ErrorCode("internal error", _AGAIN, retry=True),
    "dispatch_internal_error": ErrorCode("internal error", _AGAIN, retry=True),
}
#: Families of codes of version 2, by a pattern that matches the whole code, so that a new limit
#: is recognised as a limit.
FAMILIES: dict[str, ErrorCode] = {
    r".*rate_limit_exceeded": ErrorCode(
        "a limit of requests or tokens is reached", _SLOWER, RateLimitError, retry=True
    ),
    r".*_unsafe": ErrorCode(
        "the service finds this unsafe", "Word it differently, or %qianfan undo."
    ),
    r"(coding|token)_plan_.*": ErrorCode(
        "the key is of a subscription plan, or a plan is needed", _PLAN, AuthError
    ),
}
#: Meaning of an HTTP status, for a code that is in neither table.
STATUSES: dict[int, ErrorCode] = {
    400: ErrorCode("the request was refused", _WORDS),
    401: ErrorCode("the service does not accept the credentials", _KEYS, AuthError),
    403: ErrorCode("the credentials do not permit this", _KEYS, AuthError),
    404: ErrorCode("there is no such address or model", "Check -m and the server's address."),
    422: ErrorCode("the request was refused", _WORDS),
    429: ErrorCode("a limit is reached", _SLOWER, RateLimitError, retry=True),
}

#: Hints by the token endpoint's ``error_description`` (RFC 6749, section 5.2).
TOKEN_ERRORS: dict[str, str] = {
    "unknown client id": "QIANFAN_AK is not an API Key of this service. "
    "An access key (ALTAK…) belongs in QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY.",
    "Client authentication failed": "QIANFAN_SK is not the Secret Key that belongs to QIANFAN_AK.",
}

#: Hints for errors of Baidu's IAM, which issues bearer tokens, by a part of the code or message;
#: without a first letter that may be a capital or not.
IAM_ERRORS: dict[str, str] = {
    "find credential": "QIANFAN_ACCESS_KEY is not an access key of an account. An API Key of "
    "an application belongs in QIANFAN_AK, with QIANFAN_SK.",
    "ignature": "QIANFAN_SECRET_KEY is not the one that belongs to QIANFAN_ACCESS_KEY, or this "
    "computer's clock is wrong: %qianfan doctor checks both.",
    "xpired": "This computer's clock is wrong: %qianfan doctor checks it.",
}


def api_error(
    error_code: int | str,
    error_msg: str,
    *,
    status: int = 0,
    request_id: str = "",
    retry_after: float | None = None,
) -> APIError:
    """Turn an error of the service into an exception.

    Parameters
    ----------
    error_code
        A number (version 1) or a word (version 2). For a code that no table has, the HTTP status
        chooses the exception; without a known status it is a plain `APIError`.
    error_msg
        The service's message; shown after the meaning of the code.
    status
        HTTP status of the response; 0 if unknown.
    request_id
        The ``id`` of the response.
    retry_after
        Seconds, from the header ``Retry-After``.

    Examples
    --------
    >>> error = api_error(336501, "Rate limit reached", status=429)
    >>> type(error).__name__, error.retryable, error.status
    ('RateLimitError', True, 429)
    """
    row = _find_row(error_code, status)
    return row.error(
        f"The service responded with error {error_code}, {row.meaning}: {error_msg}",
        hint=row.hint,
        error_code=error_code,
        error_msg=error_msg,
        request_id=request_id,
        status=status,
        retryable=row.retry,
        retry_after=retry_after,
    )


def _find_row(error_code: int | str, status: int) -> ErrorCode:
    if error_code in CODES:
        return CODES[error_code]
    for pattern, row in FAMILIES.items():
        if re.fullmatch(pattern, str(error_code)):
            return row
    return STATUSES.get(
        status, ErrorCode("an error that is not in the table", "See the words above.")
    )


def token_error(
    error: str, description: str, *, status: int = 0, retryable: bool = False
) -> AuthError:
    """Turn an error of a token endpoint into an `AuthError` whose hint names the wrong key.

    Parameters
    ----------
    error, description
        ``error`` and ``error_description`` of the OAuth endpoint, ``code`` and ``message`` of IAM.
    status
        HTTP status of the response; 0 if unknown.
    retryable
        Whether the endpoint was only busy.
    """
    hints = (hint for part, hint in IAM_ERRORS.items() if part in f"{error} {description}")
    return AuthError(
        f"The token endpoint refused the keys ({error}): {description}",
        hint=TOKEN_ERRORS.get(description) or next(hints, _KEYS),
        error_code=error,
        error_msg=description,
        status=status,
        retryable=retryable,
    )
