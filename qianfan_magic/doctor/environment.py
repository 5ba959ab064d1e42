"""Which variables are set, in ``.env`` and in the environment; names are told, values never."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.dotenv import DOT_ENV_VARIABLE, find_dot_env, read_dot_env
from qianfan_magic.api.config.settings import VARIABLES, Settings, load_settings, read_variable
from qianfan_magic.doctor.finding import Finding, display_path
from qianfan_magic.doctor.key_formats import variables_for
from qianfan_magic.errors import SettingsError
from qianfan_magic.masking import remember

SECRETS = {name for name, known in VARIABLES.items() if known in Credentials.__slots__}
#: A name that may be shown: no key looks like it.
_OURS = re.compile(r"[A-Z]{5,9}_[A-Z_]{1,50}", re.IGNORECASE)
#: The official SDK reads these, and nothing here does.
_OF_THE_SDK = re.compile(
    r"QIANFAN_(\w+_LIMIT|\w+_INTERVAL|\w+_TIMES|CONSOLE_API_RETRY_\w+"
    r"|AUTH_TIMEOUT|DISABLE_EB_SDK|ENABLE_PRIVATE|PRIVATE_ACCESS_CODE|FILE_ENCODING"
    r"|IAM_SIGN_EXPIRATION_SEC)"
)
_READABLE_BY_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Found:
    """What is set where.

    Attributes
    ----------
    folder
        Where ``.env`` was looked for.
    path
        The ``.env`` that counts.
    inside, outside
        What it and the environment set, but for what is empty.
    is_read
        Whether the file could be read, or there is none.
    """

    folder: Path
    outside: Mapping[str, str] = field(repr=False)
    path: Path | None = None
    inside: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_read: bool = True

    @property
    def values(self) -> Mapping[str, str]:
        """What counts: the environment wins."""
        return {**self.inside, **self.outside}


def inspect_variables(folder: Path, environ: Mapping[str, str]) -> tuple[Found, list[Finding]]:
    """Find and read ``.env``; every secret that is set is masked from now on."""
    outside = {name: value.strip() for name, value in environ.items() if value.strip()}
    found = Found(folder, outside)
    try:
        found = replace(found, path=find_dot_env(folder, outside))
        inside = read_dot_env(found.path) if found.path else {}
        found = replace(found, inside=inside)
        findings = [_told_file(found)]
    except SettingsError as error:
        found = replace(found, is_read=False)
        findings = [Finding.of(".env", error)]
    for values in (found.inside, found.outside):
        remember(*(value for name, value in values.items() if _is_secret(name, value)))
    findings += [*_permissions(found), *_told_variables(found)]
    return found, findings


def _is_secret(name: str, value: str) -> bool:
    return name in SECRETS or (name.upper().startswith("QIANFAN") and bool(variables_for(value)))


def _told_file(found: Found) -> Finding:
    if found.path:
        return Finding(".env", "ok", f"{display_path(found.path, found.folder)} is read")
    if found.outside.get(DOT_ENV_VARIABLE) == os.devnull:
        return Finding(".env", "ok", f"{DOT_ENV_VARIABLE} says that there is none")
    return Finding(
        ".env",
        "note",
        "There is none, in this folder or above it: only the environment counts",
        "Copy .env.example to .env, beside the notebook, and put your keys into it.",
    )


def _permissions(found: Found) -> Iterator[Finding]:
    """Tell if others may read the keys; Windows has no such bits."""
    if os.name != "posix" or found.path is None or not SECRETS & found.inside.keys():
        return
    mode = found.path.stat().st_mode & 0o777
    if mode & _READABLE_BY_OTHERS:
        place = display_path(found.path, found.folder)
        said = f"Others on this computer may read the keys in {place} (mode {mode:o})"
        yield Finding(".env", "note", said, f"chmod 600 {place}")


def _told_variables(found: Found) -> Iterator[Finding]:
    for where, values in ((".env", found.inside), ("The environment", found.outside)):
        names = [name for name in VARIABLES if name in values]
        wins = [name for name in names if values is found.outside and name in found.inside]
        won = f"; it wins over .env for {', '.join(wins)}" if wins else ""
        if names:
            yield Finding("Variables", "ok", f"{where} sets {', '.join(names)}{won}")
        for name, value in values.items():
            if _looks_ours(name) and not _is_known(name):
                yield _unknown(name, value, where)


def _looks_ours(name: str) -> bool:
    """Tell whether a name begins as ours do, or nearly so."""
    first, _, rest = name.upper().partition("_")
    return bool(rest and difflib.get_close_matches(first, ["QIANFAN"], 1, 0.8))


def _is_known(name: str) -> bool:
    return name in VARIABLES or name == DOT_ENV_VARIABLE or bool(_OF_THE_SDK.fullmatch(name))


def _unknown(name: str, value: str, where: str) -> Finding:
    shown = name if _OURS.fullmatch(name) else "a variable of an odd name"
    # The common beginning would make all alike.
    known = {variable.removeprefix("QIANFAN_"): variable for variable in VARIABLES}
    near = difflib.get_close_matches(name.upper().partition("_")[2], known, 1, 0.75)
    meant = [known[one] for one in near] or variables_for(value)
    todo = f"Did you mean {' or '.join(meant)}?" if meant else "Compare it with .env.example."
    return Finding("Variables", "note", f"{where} sets {shown}, which nothing reads", todo)


def load_tolerantly(found: Found, environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """Read the settings past what is wrong in them.

    Returns
    -------
    settings : Settings
        With the default in the place of each value that is wrong.
    findings : list of Finding
        What is wrong; none if nothing is.
    """
    environ = dict(environ) if found.is_read else {**environ, DOT_ENV_VARIABLE: os.devnull}
    values = found.values if found.is_read else found.outside
    findings = []
    for name in VARIABLES.keys() & values.keys():
        try:
            read_variable(name, values[name])
        except SettingsError as error:
            findings.append(Finding.of("Settings", error))
            environ[name] = _DEFAULTS[name]
    findings.sort(key=lambda finding: finding.message)
    try:
        return load_settings(found.folder, environ), findings
    except SettingsError as error:
        findings.append(Finding.of("Credentials", error))
    keys = {VARIABLES[name]: values[name] for name in sorted(SECRETS & values.keys())}
    return load_settings(found.folder, environ, credentials=_parts(keys)), findings


def _parts(keys: Mapping[str, str]) -> Credentials:
    """Make credentials of what is whole, even if it is too much."""
    try:
        return Credentials(**keys)
    except SettingsError:
        return Credentials()


#: A text for each variable that may be wrong, which reads as its default.
_DEFAULTS = {
    known.metadata["variable"]: str(known.default or ".")
    for known in fields(Settings)
    if "variable" in known.metadata
} | {"QIANFAN_SSL_VERIFICATION_ENABLED": "true", "QIANFAN_DISABLE_CACHE": "false"}
