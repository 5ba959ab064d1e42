"""The service's error codes: what each means, what to do, and which exception it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.errors import APIError, AuthError, RateLimitError, TokenExpiredError


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the service's error table: its meaning, and what to do."""

    meaning: str
    hint: str
    error: type[APIError] = APIError
    retry: bool = False


_AGAIN = "This is the service's own trouble and passes: run the cell again in a while."
_SLOWER = "You are sending faster than your quota allows: wait a minute, or ask for a higher quota."
_BILLING = "Open billing for this service in the Qianfan console, or settle the account."
_KEYS = "Check the keys in your .env: are they of the application that owns this service?"
_WORDS = "The reason is in the service's words above."
_BEARER = (
    "Check QIANFAN_BEARER_TOKEN, or make a new API key in the Qianfan console: it begins with "
    "bce-v3. Keys and access tokens of version 1 are none."
)
_APP = "Check QIANFAN_APP_ID, or leave it out."
_PLAN = "Make an API key of the console's own, without a plan, for QIANFAN_BEARER_TOKEN."
_ENDPOINT = (
    "Check -e: it is the last part of the service's address. A model that is asked by -m may no "
    "longer be served."
)
_BUG = "The service refused the shape of the request; %%qianfan_chat --dry-run shows what is sent."

#: Version 1: the codes of the API documents' tables ("错误码") and of the platform's error page.
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
        "signature failed", "Check QIANFAN_SECRET_KEY and this computer's clock.", AuthError
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

#: Version 2: the codes of its error page ("错误码", Om9b4yj3w).
CODES |= {
    "malformed_json": ErrorCode("the body is not JSON", _BUG),
    "invalid_model": ErrorCode(
        "there is no such model, or not for these keys",
        "Check -m: %qianfan models lists those that there are.",
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
    "Offline_batch_reasoning_refused": ErrorCode("there is no room now", _AGAIN, retry=True),
    "internal_error": ErrorCode("internal error", _AGAIN, retry=True),
    "dispatch_internal_error": ErrorCode("internal error", _AGAIN, retry=True),
}
#: Codes of version 2 that come in families, by how they end or begin.
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
#: What an HTTP status says of a code that is in neither table.
STATUSES: dict[int, ErrorCode] = {
    401: ErrorCode("the service does not let you in", _KEYS, AuthError),
    403: ErrorCode("you may not do this", _KEYS, AuthError),
    429: ErrorCode("a limit is reached", _SLOWER, RateLimitError, retry=True),
}

#: What the token endpoint calls its errors (RFC 6749, section 5.2) and what to do about each.
TOKEN_ERRORS: dict[str, str] = {
    "unknown client id": "QIANFAN_AK is not an API Key of this service. "
    "An access key (ALTAK…) belongs into QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY.",
    "Client authentication failed": "QIANFAN_SK is not the Secret Key that belongs to QIANFAN_AK.",
}

#: What IAM calls its errors, which gives bearer tokens for access keys, and what to do.
IAM_ERRORS: dict[str, str] = {
    "find credential": "QIANFAN_ACCESS_KEY is no access key of an account. An API Key of an "
    "application belongs into QIANFAN_AK, with QIANFAN_SK.",
    "ignature": "QIANFAN_SECRET_KEY is not the one that belongs to QIANFAN_ACCESS_KEY, or this "
    "computer's clock is wrong: %qianfan doctor looks.",
    "xpired": "This computer's clock is wrong: %qianfan doctor looks.",
}


def api_error(
    error_code: int | str,
    error_msg: str,
    *,
    status: int = 200,
    request_id: str = "",
    retry_after: float | None = None,
) -> APIError:
    """Turn the service's error into the exception that its code stands for.

    Parameters
    ----------
    error_code
        Qianfan's number (version 1) or word (version 2). One that is in no table goes by its
        HTTP status; failing that it is a plain `APIError`.
    error_msg
        The service's words; shown beside the table's meaning.
    status
        The HTTP status.
    request_id
        The answer's ``id``.
    retry_after
        Seconds, from the header ``Retry-After``.
    """
    row = _row_of(error_code, status)
    return row.error(
        f"Qianfan answered error {error_code}, {row.meaning}: {error_msg}",
        hint=row.hint,
        error_code=error_code,
        error_msg=error_msg,
        request_id=request_id,
        retryable=row.retry,
        retry_after=retry_after,
    )


def _row_of(error_code: int | str, status: int) -> ErrorCode:
    if error_code in CODES:
        return CODES[error_code]
    for pattern, row in FAMILIES.items():
        if re.fullmatch(pattern, str(error_code)):
            return row
    return STATUSES.get(
        status, ErrorCode("an error that is not in the table", "See the words above.")
    )


def token_error(error: str, description: str, *, retryable: bool = False) -> AuthError:
    """Turn a token endpoint's refusal into an `AuthError` that says which key is wrong."""
    known = (hint for word, hint in IAM_ERRORS.items() if word in f"{error} {description}")
    return AuthError(
        f"The token endpoint refused the keys ({error}): {description}",
        hint=TOKEN_ERRORS.get(description) or next(known, _KEYS),
        error_code=error,
        error_msg=description,
        retryable=retryable,
    )
