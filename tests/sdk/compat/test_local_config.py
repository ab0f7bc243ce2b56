"""The settings file of programs written for 0.7."""

from __future__ import annotations

import os
import stat

import pytest

from tests.sdk.compat.support import old_module

config = old_module("local_config")


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["main.py"])
    monkeypatch.setattr(config, "config", None)


def test_settings_are_there_the_next_time(tmp_path):
    config.init(".chat", "mine.ini", tmp_path, {"key": "12345", "none": None})
    assert (config.get_string("key"), config.get_string("none"), config.get_string("auth_token")) == (
        "12345",
        None,
        None,
    )
    assert not (tmp_path / ".chat").exists(), "nothing was set"
    config.set_string("auth_token", "a%b\n")
    config.set_config([("one", "1"), ("two", "2")])
    config.init(".chat", "mine.ini", tmp_path, {"key": "other"})
    assert [config.get_string(key) for key in ("key", "auth_token", "one", "two")] == ["12345", "a%b", "1", "2"]


def test_the_default_place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config.init()
    config.set_string("a", "b")
    assert (tmp_path / ".spacetime_python_sdk" / "settings.ini").read_text() == "[main]\na = b\n\n"


def test_each_client_has_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["main.py", "--client", "2"])
    config.init("it", config_root=tmp_path)
    config.set_string("a", "b")
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["settings_2.ini"]


def test_a_file_without_the_section(tmp_path):
    (tmp_path / "settings.ini").write_text("[other]\na = b\n")
    config.init(".", config_root=tmp_path, config_defaults={"c": "d"})
    assert (config.get_string("a"), config.get_string("c")) == (None, "d")


@pytest.mark.skipif(os.name != "posix", reason="rights of files are others elsewhere")
def test_only_the_owner_may_read_it(tmp_path):
    path = tmp_path / "settings.ini"
    path.write_text("[main]\n")
    path.chmod(0o644)
    config.init(".", config_root=tmp_path)
    config.set_string("auth_token", "secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_asking_before_init():
    with pytest.raises(RuntimeError, match="expected init"):
        config.get_string("a")
