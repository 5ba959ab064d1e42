"""Check the variables in ``.env`` and in the environment; names are shown, values never are."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from qianfan_magic.api.config.credentials import CREDENTIAL_VARIABLES, Credentials
from qianfan_magic.api.config.dotenv import DOT_ENV_VARIABLE, find_dot_env, read_dot_env
from qianfan_magic.api.config.receivers import check_receivers
from qianfan_magic.api.config.settings import (
    ALIASES,
    VARIABLES,
    Settings,
    build_settings,
    named_once,
    nonempty_variables,
    read_variable,
)
from qianfan_magic.doctor.finding import Finding, display_path
from qianfan_magic.doctor.key_formats import variables_for
from qianfan_magic.errors import SettingsError
from qianfan_magic.masking import remember

__all__ = ["FoundVariables", "inspect_variables", "load_tolerantly"]

#: Every name of a variable that is read; the names of one variable follow each other.
_NAMES = tuple(
    each
    for name in VARIABLES
    for each in (name, *(alias for alias, other in ALIASES.items() if other == name))
)
_SECRETS = frozenset(
    name for name in _NAMES if ALIASES.get(name, name) in CREDENTIAL_VARIABLES.values()
)
#: Names that are safe to show: a key pasted before the "=" has digits, or no underscore.
_SAFE_NAME = re.compile(r"[A-Z]{5,9}_[A-Z_]{1,50}", re.IGNORECASE)
#: Variables of the official SDK (qianfan 0.4.12.3) that this package does not read: a .env may
#: serve both.
_SDK_ONLY = re.compile(
    r"QIANFAN_(\w+_LIMIT|\w+_INTERVAL|\w+_TIMES|CONSOLE_API_RETRY_\w+"
    r"|AUTH_TIMEOUT|DISABLE_EB_SDK|ENABLE_PRIVATE|PRIVATE_ACCESS_CODE|FILE_ENCODING"
    r"|IAM_SIGN_EXPIRATION_SEC)"
)
#: Permission bits of a file for anyone but its owner.
_GROUP_AND_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class FoundVariables:
    """The variables that are set, and where.

    Attributes
    ----------
    folder
        The notebook's folder, in which and above which ``.env`` was searched for.
    environ
        Environment variables that are not empty.
    path
        The ``.env`` in use; None if there is none.
    dot_env
        Variables of ``.env`` that are not empty; none if it could not be read.
    is_read
        False if ``.env`` could not be read, or does not exist although it is configured.
    """

    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    path: Path | None = None
    dot_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_read: bool = True

    @property
    def values(self) -> Mapping[str, str]:
        """The values in effect, by the first name of each variable.

        The environment takes precedence.
        """
        return {**_named_tolerantly(self.dot_env), **_named_tolerantly(self.environ)}


def inspect_variables(
    folder: Path, environ: Mapping[str, str]
) -> tuple[FoundVariables, list[Finding]]:
    """Read ``.env`` and the environment; every secret in them is masked from now on.

    Parameters
    ----------
    folder
        The notebook's folder.
    environ
        The environment.
    """
    found = FoundVariables(folder, nonempty_variables(environ))
    try:
        found = replace(found, path=find_dot_env(folder, found.environ))
        found = replace(found, dot_env=read_dot_env(found.path) if found.path else {})
        findings = [_describe_dot_env(found)]
    except SettingsError as error:
        found = replace(found, is_read=False)
        findings = [Finding.of(".env", error)]
    for values in (found.dot_env, found.environ):
        remember(*(value for name, value in values.items() if _is_secret(name, value)))
    findings += [*_check_permissions(found), *_check_names(found)]
    return found, findings


def _is_secret(name: str, value: str) -> bool:
    # A key under a misspelled name is as secret as one under the right name.
    return name in _SECRETS or (name.upper().startswith("QIANFAN") and bool(variables_for(value)))


def _describe_dot_env(found: FoundVariables) -> Finding:
    if found.path:
        return Finding(".env", "ok", f"{display_path(found.path, found.folder)} is read")
    if found.environ.get(DOT_ENV_VARIABLE) == os.devnull:
        return Finding(".env", "ok", f"not used, because {DOT_ENV_VARIABLE} is {os.devnull}")
    return Finding(
        ".env",
        "note",
        "There is none in this folder or above it: only the environment is used",
        "Copy .env.example to .env, beside the notebook, and put your keys into it.",
    )


def _check_permissions(found: FoundVariables) -> Iterator[Finding]:
    """Report a ``.env`` with keys that other users can read; Windows has no such bits."""
    if os.name != "posix" or found.path is None or not _SECRETS & found.dot_env.keys():
        return
    mode = found.path.stat().st_mode & 0o777
    if mode & _GROUP_AND_OTHERS:
        shown = display_path(found.path, found.folder)
        message = f"Other users of this computer may read the keys in {shown} (mode {mode:o})"
        yield Finding(".env", "note", message, f"chmod 600 {shown}")


def _check_names(found: FoundVariables) -> Iterator[Finding]:
    """List the variables that are set, and report those that look misspelled."""
    for source, values in ((".env", found.dot_env), ("The environment", found.environ)):
        names = [name for name in _NAMES if name in values]
        overrides = [name for name in names if values is found.environ and name in found.dot_env]
        ending = f"; it takes precedence over .env for {', '.join(overrides)}" if overrides else ""
        if names:
            yield Finding("Variables", "ok", f"{source} sets {', '.join(names)}{ending}")
        for name, value in values.items():
            if _has_our_prefix(name) and not _is_known(name):
                yield _unknown_variable(name, value, source)


def _has_our_prefix(name: str) -> bool:
    """Tell whether a name begins with QIANFAN_, or with a misspelling of it."""
    prefix, _, rest = name.upper().partition("_")
    return bool(rest and difflib.get_close_matches(prefix, ["QIANFAN"], 1, 0.8))


def _is_known(name: str) -> bool:
    return name in _NAMES or name == DOT_ENV_VARIABLE or bool(_SDK_ONLY.fullmatch(name))


def _unknown_variable(name: str, value: str, source: str) -> Finding:
    shown = name if _SAFE_NAME.fullmatch(name) else "a variable with an unusual name"
    # Compared without the prefix, which would make all names similar.
    known = {variable.removeprefix("QIANFAN_"): variable for variable in _NAMES}
    similar = difflib.get_close_matches(name.upper().partition("_")[2], known, 1, 0.75)
    candidates = [known[match] for match in similar] or variables_for(value)
    hint = "Compare it with .env.example."
    if candidates:
        hint = f"Did you mean {' or '.join(candidates)}?"
    return Finding("Variables", "note", f"{source} sets {shown}, which nothing reads", hint)


def load_tolerantly(found: FoundVariables) -> tuple[Settings, list[Finding]]:
    """Build settings in spite of invalid values, so that the remaining checks can run.

    Parameters
    ----------
    found
        The variables that are set.

    Returns
    -------
    settings : Settings
        The default stands for each invalid value. Contradictory credentials are all there;
        incomplete ones are left out.
    findings : list of Finding
        One for each problem; empty if `load_settings` would succeed.
    """
    problems: dict[str, SettingsError] = {}
    for name in sorted(VARIABLES.keys() & found.values.keys()):
        try:
            read_variable(name, found.values[name])
        except SettingsError as error:
            problems[name] = error
    findings = [Finding.of("Settings", error) for error in problems.values()]
    findings += _check_contradictions(found)
    dot_env, environ = (
        {name: value for name, value in _named_tolerantly(values).items() if name not in problems}
        for values in (found.dot_env, found.environ)
    )
    try:
        settings = build_settings(dot_env, environ)
        check_receivers(settings, dot_env, environ)
    except SettingsError as error:
        findings.append(Finding.of("Credentials", error))
    else:
        return settings, findings
    return build_settings(dot_env, environ, credentials=_complete_credentials(found)), findings


def _named_tolerantly(values: Mapping[str, str]) -> dict[str, str]:
    """Return variables under one name each; without the other names if they contradict it."""
    try:
        return named_once(values)
    except SettingsError:
        return {name: value for name, value in values.items() if name not in ALIASES}


def _check_contradictions(found: FoundVariables) -> Iterator[Finding]:
    """Report a setting that has different values under two of its names."""
    for values in (found.dot_env, found.environ):
        try:
            named_once(values)
        except SettingsError as error:
            yield Finding.of("Settings", error)


def _complete_credentials(found: FoundVariables) -> Credentials:
    """Return the credentials unless a key is malformed or lacks its counterpart."""
    try:
        return Credentials(
            **{
                name: found.values[variable]
                for name, variable in CREDENTIAL_VARIABLES.items()
                if variable in found.values
            }
        )
    except SettingsError:
        return Credentials()
