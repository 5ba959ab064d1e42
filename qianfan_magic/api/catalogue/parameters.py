"""The table of request parameters.

Flags, checks, the settings in ``%config`` and the documentation are derived from it; to add a
parameter, add a row. Names, types and ranges are those of the API documents of Dolly-12B,
StarCoder, AquilaCode-multi and StableLM-Alpha-7B. `system`, `max_tokens`, `response_format`,
`disable_search` and `enable_citation` are from the documents of newer chat models; parameters of
version 2 alone are from its own document ("对话Chat V2"); the levels of `reasoning_effort` are
those of the documents of DeepSeek (low, high, max) and of OpenAI (minimal to xhigh).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan_magic.api.catalogue.parameter import Parameter, Support
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import mark, tr
from qianfan_magic.suggest import did_you_mean

__all__ = [
    "BY_NAME",
    "EXCLUSIVE",
    "FLAGGED",
    "PARAMETERS",
    "SENDING",
    "SHAPING",
    "check_parameters",
    "check_text",
    "is_supported",
]

#: Support by one kind of service alone.
CHAT = Support(kinds=("chat",))
COMPLETION = Support(kinds=("completion",))

#: The parameters of a request's body, in the order in which help and panel list them.
PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="temperature",
        type=float,
        flags=("-t", "--temperature"),
        minimum=0,
        above=True,
        maximum=1,
        help=mark(
            "higher is more random, lower more predictable; set only one of temperature and top_p"
        ),
    ),
    Parameter(
        name="top_p",
        type=float,
        flags=("--top-p",),
        minimum=0,
        maximum=1,
        help=mark("higher gives more varied text; set only one of temperature and top_p"),
    ),
    Parameter(
        name="top_k",
        type=int,
        flags=("--top-k",),
        minimum=1,
        support={ApiVersion.V1: Support()},
        help=mark("the next token is drawn from this many of the likeliest ones"),
    ),
    Parameter(
        name="penalty_score",
        type=float,
        flags=("--penalty-score",),
        support={ApiVersion.V1: Support(), ApiVersion.V2: CHAT},
        minimum=1,
        maximum=2,
        help=mark("higher repeats less"),
    ),
    Parameter(
        name="stop",
        type=list,
        flags=("--stop",),
        most_items=4,
        longest=20,
        help=mark(
            r"the answer stops at this text (\n: a line feed); may be given up to four times"
        ),
    ),
    Parameter(
        name="max_tokens",
        type=int,
        flags=("--max-tokens",),
        support={
            ApiVersion.V1: Support(kinds=("chat",), wire="max_output_tokens", bounds=(2, 2048)),
            ApiVersion.V2: Support(),
        },
        minimum=1,
        help=mark("largest length of the answer in tokens; version 1: 2 to 2048, chat models only"),
    ),
    Parameter(
        name="max_completion_tokens",
        type=int,
        flags=("--max-completion-tokens",),
        support={ApiVersion.V2: CHAT},
        minimum=1,
        help=mark(
            "largest length of thoughts and answer together, in tokens; instead of max_tokens"
        ),
    ),
    Parameter(
        name="seed",
        type=int,
        flags=("--seed",),
        support={ApiVersion.V2: CHAT},
        minimum=1,
        maximum=2_147_483_646,
        help=mark("the same seed gives the same answer, as far as the model can"),
    ),
    Parameter(
        name="frequency_penalty",
        type=float,
        flags=("--frequency-penalty",),
        support={ApiVersion.V2: CHAT},
        minimum=-2,
        maximum=2,
        help=mark("higher avoids words the more often they have occurred"),
    ),
    Parameter(
        name="presence_penalty",
        type=float,
        flags=("--presence-penalty",),
        support={ApiVersion.V2: CHAT},
        minimum=-2,
        maximum=2,
        help=mark("higher avoids words that have occurred at all"),
    ),
    Parameter(
        name="enable_thinking",
        type=bool,
        flags=("--enable-thinking",),
        support={ApiVersion.V2: CHAT},
        help=mark("whether the model thinks before it answers, if it can"),
    ),
    Parameter(
        name="thinking_budget",
        type=int,
        flags=("--thinking-budget",),
        support={ApiVersion.V2: CHAT},
        minimum=100,
        help=mark("largest number of tokens for thinking"),
    ),
    Parameter(
        name="reasoning_effort",
        type=str,
        flags=("--reasoning-effort",),
        support={ApiVersion.V2: CHAT},
        # No "none": `%qianfan params NAME=none` unsets a parameter.
        choices=("minimal", "low", "medium", "high", "xhigh", "max"),
        help=mark("how long the model thinks, if it lets you choose; no model has all levels"),
    ),
    Parameter(
        name="web_search",
        type=bool,
        flags=("--web-search",),
        support={ApiVersion.V2: CHAT},
        help=mark("whether the model may search the web and cite what it finds, if it can"),
    ),
    Parameter(
        name="search_mode",
        type=str,
        flags=("--search-mode",),
        choices=("auto", "required"),
        support={ApiVersion.V2: CHAT},
        help=mark("with --web-search: whether the model decides when to search, or has to"),
    ),
    Parameter(
        name="search_number",
        type=int,
        flags=("--search-number",),
        minimum=1,
        maximum=28,
        support={ApiVersion.V2: CHAT},
        help=mark("with --web-search: largest number of sources"),
    ),
    Parameter(
        name="suffix",
        type=str,
        flags=("--suffix",),
        support={ApiVersion.V2: COMPLETION},
        help=mark("text that follows the completion, so that the model fills the middle"),
    ),
    Parameter(
        name="user_id",
        type=str,
        support={ApiVersion.V1: Support(), ApiVersion.V2: Support(wire="user")},
        flags=("--user-id",),
        help=mark("your own ID for the person who asks, so that misuse can be traced"),
    ),
    Parameter(
        name="system",
        type=str,
        support={ApiVersion.V1: CHAT, ApiVersion.V2: CHAT},
        help=mark("how the model is to behave in the whole conversation; newer chat models only"),
    ),
    Parameter(
        name="response_format",
        type=str,
        support={ApiVersion.V1: CHAT, ApiVersion.V2: CHAT},
        choices=("text", "json_object"),
        help=mark("the form of the answer; newer chat models only"),
    ),
    Parameter(
        name="disable_search",
        type=bool,
        support={ApiVersion.V1: CHAT},
        help=mark("answer without searching the web; newer chat models only"),
    ),
    Parameter(
        name="enable_citation",
        type=bool,
        support={ApiVersion.V1: CHAT},
        help=mark("number the sources of a web search; newer chat models only"),
    ),
    Parameter(
        name="tools",
        type=object,
        support={ApiVersion.V2: CHAT},
        help=mark("functions that the model may call, as version 2's document describes them"),
    ),
    Parameter(
        name="tool_choice",
        type=object,
        support={ApiVersion.V2: CHAT},
        help=mark('which tools the model may call: "none", "auto", "required", or one of them'),
    ),
)
#: Options of sending a request, which are not part of its body.
SENDING: tuple[Parameter, ...] = (
    Parameter(
        name="timeout",
        type=float,
        flags=("--timeout",),
        minimum=0,
        maximum=86_400,
        help=mark("seconds to wait for the next byte; 0: no limit"),
    ),
    Parameter(
        name="retries",
        type=int,
        flags=("--retries",),
        minimum=1,
        maximum=100,
        help=mark("number of attempts, while nothing of the answer has arrived"),
    ),
)
#: The rows of the table by name.
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
#: Parameters with flags, which a notebook can set for all its cells.
FLAGGED = tuple(parameter for parameter in PARAMETERS if parameter.flags)
#: Parameters that influence the answer, which a turn records; free texts such as `user_id` do not.
SHAPING = tuple(row for row in FLAGGED if row.type is not str or row.choices)
#: Parameters of which a request has at most one.
EXCLUSIVE = frozenset({"max_tokens", "max_completion_tokens"})


def check_parameters(
    values: Mapping[str, Any], kind: Kind, version: ApiVersion = ApiVersion.V1
) -> dict[str, Any]:
    """Check the parameters of one request.

    Parameters
    ----------
    values
        Values by name; None leaves the parameter out, so that the service decides.
    kind
        Kind of the service.
    version
        Version of the API.

    Returns
    -------
    dict
        Plain JSON values by the names of the request body.

    Raises
    ------
    ParameterError
        If a name is unknown or not supported by this version and kind of service, a value is out
        of range, or two values exclude each other.

    Examples
    --------
    >>> check_parameters({"temperature": 0.5, "max_tokens": 100, "top_p": None}, "chat")
    {'temperature': 0.5, 'max_output_tokens': 100}
    """
    checked = {}
    for name, value in values.items():
        parameter = BY_NAME.get(name)
        if parameter is None:
            raise _unknown(name)
        if value is None:
            continue
        if not is_supported(parameter, kind, version):
            raise _unsupported(parameter, kind, version)
        wire = parameter.support[version].wire or name
        checked[wire] = parameter.within(version).check(value)
    if checked.keys() >= EXCLUSIVE:
        raise ParameterError(
            tr("max_tokens and max_completion_tokens exclude each other"),
            hint=tr(
                "max_completion_tokens limits thoughts and answer together; max_tokens is for "
                "models that do not know it. Leave one out."
            ),
        )
    return checked


def is_supported(parameter: Parameter, kind: Kind, version: ApiVersion) -> bool:
    """Tell whether a version of the API supports a parameter for a kind of service."""
    support = parameter.support.get(version)
    return support is not None and kind in support.kinds


#: Names of the kinds of services in messages.
_KIND_NAMES: dict[Kind, str] = {"chat": mark("chat"), "completion": mark("completion")}


def _unsupported(parameter: Parameter, kind: Kind, version: ApiVersion) -> ParameterError:
    supporting = [
        tr(
            "{kinds} services of version {number} of the API",
            kinds=tr(" and ").join(tr(_KIND_NAMES[kind]) for kind in support.kinds),
            number=number,
        )
        for number, support in parameter.support.items()
    ]
    return ParameterError(
        tr(
            "{name} is a parameter of {supporting}; this is a {kind} service of version {version}",
            name=parameter.name,
            supporting=tr(", and of ").join(supporting),
            kind=tr(_KIND_NAMES[kind]),
            version=version,
        ),
        hint=tr("Leave {name} out.", name=parameter.name),
    )


def _unknown(name: str) -> ParameterError:
    # A user who knows the API may write the name of the request body, such as max_output_tokens.
    wire_names = {s.wire: row.name for row in PARAMETERS for s in row.support.values() if s.wire}
    hint = did_you_mean(wire_names.get(name, name), BY_NAME)
    return ParameterError(
        tr("There is no parameter {name!r}", name=name),
        hint=hint or tr("There are: {names}.", names=", ".join(BY_NAME)),
    )


def check_text(text: Any, what: str) -> str:
    """Return a text that can be sent.

    Parameters
    ----------
    text
        A prompt, or the content of a message.
    what
        Name of the text in the error message.

    Raises
    ------
    ParameterError
        If it is not a str, is blank, or contains a lone surrogate, which UTF-8 cannot encode.
    """
    if not isinstance(text, str):
        raise ParameterError(
            tr("{what} is {name}, but must be text (str)", what=what, name=type(text).__name__)
        )
    if not text.strip():
        raise ParameterError(
            tr("{what} is empty", what=what), hint=tr("Write what you want to ask into the cell.")
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            tr(
                "{what} holds half of a character (a lone surrogate) at position {start}",
                what=what,
                start=error.start,
            ),
            hint=tr("It was cut or decoded wrongly; remove it, or read its file as UTF-8."),
        ) from None
    return text
