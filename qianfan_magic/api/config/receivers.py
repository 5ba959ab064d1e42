"""Who gets the keys: not a server that a mere file beside the notebook names.

A folder that was cloned or unpacked may have a ``.env`` of a stranger's. It may name a server, but
what it names must not get keys from elsewhere, such as the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from qianfan_magic.api.config.addresses import is_on_this_computer, is_service
from qianfan_magic.api.config.dotenv import DOT_ENV_VARIABLE
from qianfan_magic.api.config.settings import VARIABLE_OF, Settings, named_once
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import SettingsError
from qianfan_magic.language import tr

__all__ = ["check_receivers"]


def check_receivers(
    settings: Settings, dot_env: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    """Refuse to send keys that ``.env`` does not have to a server that only ``.env`` names.

    Qianfan's own servers and those on this computer are allowed, and so is everything if the
    environment itself names the file.

    Parameters
    ----------
    settings
        The settings in effect.
    dot_env, environ
        The variables that they were built from.

    Raises
    ------
    SettingsError
        If the next request would send such a key. The message names the variables and the host.
    """
    if DOT_ENV_VARIABLE in environ:
        return
    dot_env, environ = named_once(dot_env), named_once(environ)
    for version in settings.versions_with_keys:
        keys = _keys_from_elsewhere(settings, version, dot_env)
        for variable, address in _receivers(settings, version):
            is_named_by_file = variable in dot_env and variable not in environ
            if keys and is_named_by_file and not _is_allowed(address):
                raise SettingsError(
                    tr(
                        "{variable} in .env would send your {key}, which .env does not have, to "
                        "{host}",
                        variable=variable,
                        key=keys[0],
                        host=urlsplit(address).hostname,
                    ),
                    hint=tr(
                        "If you trust that server, set {variable} in the environment too, or the "
                        "key in .env.",
                        variable=variable,
                    ),
                )


def _keys_from_elsewhere(
    settings: Settings, version: ApiVersion, dot_env: Mapping[str, str]
) -> list[str]:
    """Return the variables of the keys of a version that ``.env`` does not have itself."""
    method = settings.credentials.method(version)
    fields = method.fields if method else ()
    return [
        VARIABLE_OF[name]
        for name in fields
        if getattr(settings.credentials, name) != dot_env.get(VARIABLE_OF[name])
    ]


def _receivers(settings: Settings, version: ApiVersion) -> Iterator[tuple[str, str]]:
    """Yield the variables and addresses of those who can read the keys of a version."""
    field = "base_url" if version == ApiVersion.V1 else "console_api_base_url"
    yield VARIABLE_OF[field], settings.url(version)
    if settings.proxy and not settings.ssl_verification:
        yield VARIABLE_OF["proxy"], settings.proxy


def _is_allowed(address: str) -> bool:
    return is_service(address) or is_on_this_computer(address)
