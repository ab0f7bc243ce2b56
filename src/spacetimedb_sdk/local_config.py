"""Settings in a file, for programs written for 0.7: `~/.spacetime_python_sdk/settings.ini`, section `main`.

Unlike in 0.7 only the owner may read the file, for it is where programs keep their token.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from .compat.notices import deprecated
from .private_files import open_private

__all__ = ["get_string", "init", "set_config", "set_string"]

deprecated("local_config", "`spacetimedb_sdk.TokenFile` for the token, and a file of your own for the rest")

SECTION: Final = "main"

config: configparser.ConfigParser | None = None
settings_path: str | None = None


def init(
    config_folder: str | None = None,
    config_file: str | None = None,
    config_root: str | os.PathLike[str] | None = None,
    config_defaults: Mapping[str, str | None] | None = None,
) -> None:
    """Read the settings, or begin with defaults if there are none.

    `--client NAME` on the command line makes `settings.ini` be `settings_NAME.ini`, so that several programs of one
    user are several clients.

    Args:
        config_folder: The folder; `.spacetime_python_sdk` by default.
        config_file: The file in it; `settings.ini` by default.
        config_root: Where the folder is; the user's home by default.
        config_defaults: Settings to begin with. None of a value leaves it out.
    """
    global config, settings_path  # noqa: PLW0603 - one module, one file: so it was
    path = Path(config_root or Path.home()) / (config_folder or ".spacetime_python_sdk") / _named(config_file)
    settings_path = str(path)
    config = configparser.ConfigParser(interpolation=None)  # a value is what it is, also with a % in it
    config.read(path, encoding="utf-8")
    if not config.has_section(SECTION):
        given = (config_defaults or {}).items()
        config[SECTION] = {key: value for key, value in given if value is not None}


def _named(config_file: str | None) -> str:
    name = Path(config_file or "settings.ini")
    arguments = iter(sys.argv)
    client = next(arguments, None) if "--client" in arguments else None
    return str(name if client is None else name.with_stem(f"{name.stem}_{client}"))


def set_config(config_in: Iterable[tuple[str, str]]) -> None:
    """Set several settings, and store them."""
    main = _main()
    for key, value in config_in:
        main[key] = value
    _save()


def get_string(key: str) -> str | None:
    """A setting, or None if there is no such one."""
    return _main().get(key)


def set_string(key: str, value: str) -> None:
    """Set a setting, and store all of them."""
    _main()[key] = value
    _save()


def _main() -> configparser.SectionProxy:
    if config is None:
        raise RuntimeError("local_config: expected init() to be called first")
    return config[SECTION]


def _save() -> None:
    assert config is not None
    assert settings_path is not None
    os.makedirs(os.path.dirname(settings_path), mode=0o700, exist_ok=True)
    with open(settings_path, "w", encoding="utf-8", opener=open_private) as file:
        config.write(file)
