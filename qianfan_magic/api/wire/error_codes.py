"""The service's error codes: the meaning of each, a hint for the user, and its exception.

To add a code, add a row to `CODES`. The rows of version 1 have numbers, those of version 2 words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.errors import APIError, AuthError, RateLimitError, TokenExpiredError
from qianfan_magic.language import mark, tr

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


_AGAIN = mark("This is a temporary problem of the service: run the cell again in a while.")
_SLOWER = mark(
    "You are sending faster than your quota allows: wait a minute, or ask for a higher quota."
)
_BILLING = mark("Open billing for this service in the Qianfan console, or settle the account.")
_KEYS = mark("Check the keys in your .env: are they of the application that owns this service?")
_WORDS = mark("The reason is in the service's message above.")
_BEARER = mark(
    "Check QIANFAN_API_KEY, or create a new API key in the Qianfan console: it begins with "
    "bce-v3. Keys and access tokens of version 1 are not valid here."
)
_APP = mark("Check QIANFAN_APP_ID, or leave it out.")
_PLAN = mark("Create an API key without a plan in the console, for QIANFAN_API_KEY.")
_ENDPOINT = mark(
    "Check -e: it is the last part of the service's address. A model that is named by -m may no "
    "longer be served."
)
_BUG = mark(
    "The service refused the shape of the request; %%qianfan_chat --dry-run shows what is sent."
)

#: Codes of version 1, from the tables "错误码" of the models' API documents and of the platform's
#: page of error codes; codes of version 2, from its own page of that name (Om9b4yj3w).
CODES: dict[int | str, ErrorCode] = {
    1: ErrorCode(mark("unknown error"), _AGAIN, retry=True),
    2: ErrorCode(mark("service temporarily unavailable"), _AGAIN, retry=True),
    3: ErrorCode(mark("no such API"), _ENDPOINT),
    4: ErrorCode(mark("the cluster's limit is reached"), _AGAIN, RateLimitError, retry=True),
    6: ErrorCode(
        mark("no permission"),
        mark("Is the service published, and by the owner of these keys?"),
        AuthError,
    ),
    13: ErrorCode(mark("the service's token is not valid"), _KEYS, AuthError),
    14: ErrorCode(
        mark("signature failed"),
        mark(
            "Check QIANFAN_SECRET_KEY and this computer's clock. An API Key of an application "
            "belongs in QIANFAN_AK, with QIANFAN_SK."
        ),
        AuthError,
    ),
    15: ErrorCode(mark("the application was not found"), _AGAIN, retry=True),
    17: ErrorCode(mark("the daily limit is reached"), _BILLING, RateLimitError),
    18: ErrorCode(
        mark("the limit of requests a second is reached"), _SLOWER, RateLimitError, retry=True
    ),
    19: ErrorCode(mark("the total limit is reached"), _BILLING, RateLimitError),
    100: ErrorCode(mark("the access token parameter is not valid"), _KEYS, TokenExpiredError),
    110: ErrorCode(mark("the access token is not valid"), _KEYS, TokenExpiredError),
    111: ErrorCode(mark("the access token has expired"), _KEYS, TokenExpiredError),
    336000: ErrorCode(mark("internal error"), _AGAIN, retry=True),
    336001: ErrorCode(mark("an argument is missing or malformed"), _BUG),
    336002: ErrorCode(mark("the body is not JSON"), _BUG),
    336003: ErrorCode(mark("a parameter was refused"), _WORDS),
    336004: ErrorCode(mark("permission error"), _KEYS, AuthError),
    336005: ErrorCode(mark("no such endpoint"), _ENDPOINT),
    336006: ErrorCode(
        mark("the messages are out of order"),
        mark("Their number must be odd and their roles user, assistant, user, …, the user's last."),
    ),
    336007: ErrorCode(
        mark("the text has too many characters"), mark("Shorten the cell, or %qianfan reset.")
    ),
    336100: ErrorCode(mark("too many people are talking to the model"), _AGAIN, retry=True),
    336101: ErrorCode(
        mark("the method must be POST"),
        mark("Is QIANFAN_BASE_URL a gateway that changes requests?"),
    ),
    336103: ErrorCode(
        mark("the text has too many tokens"), mark("Shorten the cell, or %qianfan reset.")
    ),
    336501: ErrorCode(
        mark("the limit of requests a minute is reached"), _SLOWER, RateLimitError, retry=True
    ),
    336502: ErrorCode(
        mark("the limit of tokens a minute is reached"), _SLOWER, RateLimitError, retry=True
    ),
}

# Added in a second step: some rows of version 2 are those of version 1.
CODES |= {
    "malformed_json": ErrorCode(mark("the body is not JSON"), _BUG),
    "invalid_model": ErrorCode(
        mark("there is no such model, or not for these keys"),
        mark("Check -m: %qianfan models lists the available ones."),
    ),
    "invalid_messages": ErrorCode(mark("the messages were refused"), _WORDS),
    "invalid_argument": ErrorCode(mark("a parameter was refused"), _WORDS),
    "invalid_image_url": ErrorCode(
        mark("a picture was refused"),
        mark("It must have less than 6,000 pixels a side, and at least 5."),
    ),
    "characters_too_long": CODES[336007],
    "tokens_too_long": CODES[336103],
    "no_parameter_permission": ErrorCode(
        mark("a parameter is not for these keys"), _WORDS, AuthError
    ),
    "invalid_appid": ErrorCode(mark("these keys may not use the application"), _APP, AuthError),
    "invalid_iam_token": ErrorCode(
        mark("the bearer token is not valid or has expired"), _BEARER, TokenExpiredError
    ),
    "account_overdue": ErrorCode(mark("the account is in arrears"), _BILLING, AuthError),
    "model_offline": ErrorCode(
        mark("the model is no longer served"),
        mark("Choose another one: %qianfan models lists them."),
    ),
    "method_not_supported": CODES[336101],
    "Offline_batch_reasoning_refused": ErrorCode(
        mark("there is no capacity now"), _AGAIN, retry=True
    ),
    "internal_error": ErrorCode(mark("internal error"), _AGAIN, retry=True),
    "dispatch_internal_error": ErrorCode(mark("internal error"), _AGAIN, retry=True),
}
#: Families of codes of version 2, by a pattern that matches the whole code, so that a new limit
#: is recognised as a limit.
FAMILIES: dict[str, ErrorCode] = {
    r".*rate_limit_exceeded": ErrorCode(
        mark("a limit of requests or tokens is reached"), _SLOWER, RateLimitError, retry=True
    ),
    r".*_unsafe": ErrorCode(
        mark("the service finds this unsafe"), mark("Word it differently, or %qianfan undo.")
    ),
    r"(coding|token)_plan_.*": ErrorCode(
        mark("the key is of a subscription plan, or a plan is needed"), _PLAN, AuthError
    ),
}
#: Meaning of an HTTP status, for a code that is in neither table.
STATUSES: dict[int, ErrorCode] = {
    400: ErrorCode(mark("the request was refused"), _WORDS),
    401: ErrorCode(mark("the service does not accept the credentials"), _KEYS, AuthError),
    403: ErrorCode(mark("the credentials do not permit this"), _KEYS, AuthError),
    404: ErrorCode(
        mark("there is no such address or model"), mark("Check -m and the server's address.")
    ),
    422: ErrorCode(mark("the request was refused"), _WORDS),
    429: ErrorCode(mark("a limit is reached"), _SLOWER, RateLimitError, retry=True),
}

#: Hints by the token endpoint's ``error_description`` (RFC 6749, section 5.2).
TOKEN_ERRORS: dict[str, str] = {
    "unknown client id": mark(
        "QIANFAN_AK is not an API Key of this service. "
        "An access key (ALTAK…) belongs in QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY."
    ),
    "Client authentication failed": mark(
        "QIANFAN_SK is not the Secret Key that belongs to QIANFAN_AK."
    ),
}

#: Hints for errors of Baidu's IAM, which issues bearer tokens, by a part of the code or message;
#: without a first letter that may be a capital or not.
IAM_ERRORS: dict[str, str] = {
    "find credential": mark(
        "QIANFAN_ACCESS_KEY is not an access key of an account. An API Key of "
        "an application belongs in QIANFAN_AK, with QIANFAN_SK."
    ),
    "ignature": mark(
        "QIANFAN_SECRET_KEY is not the one that belongs to QIANFAN_ACCESS_KEY, or this "
        "computer's clock is wrong: %qianfan doctor checks both."
    ),
    "xpired": mark("This computer's clock is wrong: %qianfan doctor checks it."),
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
        tr(
            "The service responded with error {error_code}, {meaning}: {error_msg}",
            error_code=error_code,
            meaning=tr(row.meaning),
            error_msg=error_msg,
        ),
        hint=tr(row.hint),
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
        status, ErrorCode(mark("an error that is not in the table"), mark("See the words above."))
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
        tr(
            "The token endpoint refused the keys ({error}): {description}",
            error=error,
            description=description,
        ),
        hint=tr(TOKEN_ERRORS.get(description) or next(hints, _KEYS)),
        error_code=error,
        error_msg=description,
        status=status,
        retryable=retryable,
    )
