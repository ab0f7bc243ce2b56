"""Where tokens come from, what each source refuses, and that nobody ever sees one."""

from __future__ import annotations

import functools
import logging
import os
import stat
import traceback
from pathlib import Path

import pytest

from spacetimedb_proto.errors import AuthenticationError, ConnectionLost, LocalProtocolError
from spacetimedb_proto.jwt import MAX_TOKEN
from spacetimedb_sdk import TokenCli, TokenEnv, TokenFile, TokenSource
from spacetimedb_sdk.tokens import cli_config_path, fetch_async, fetch_now, source_of

SECRET = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2VjcmV0"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")


def refused(source):
    """The text of the error that asking a source ends in, after checking that nothing of it shows the token."""
    with pytest.raises(AuthenticationError) as caught:
        fetch_now(source)
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=False))
    assert caught.value.status is None, "no server was asked"
    return str(caught.value)


# --- what a user may give ---------------------------------------------------------------------------------------------


class Vault(TokenSource):
    def fetch(self):
        return SECRET


async def ask():
    return SECRET


class Asker:
    def __call__(self):
        return SECRET

    def method(self):
        return SECRET


GIVEN = {
    "text": SECRET,
    "source": Vault(),
    "function": lambda: SECRET,
    "object": Asker(),
    "method": Asker().method,
    "partial": functools.partial(str, SECRET),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_given(given):
    source = source_of(given)
    assert fetch_now(source) == SECRET
    assert SECRET not in repr(source)
    assert SECRET not in source.description


@pytest.mark.anyio
@pytest.mark.parametrize("given", [*GIVEN.values(), ask], ids=[*GIVEN, "async"])
async def test_given_on_an_event_loop(given):
    assert await fetch_async(source_of(given)) == SECRET


def test_nothing_given():
    assert fetch_now(source_of(None)) is None


def test_a_source_is_taken_as_it_is():
    source = TokenFile("token")
    assert source_of(source) is source


@pytest.mark.parametrize("given", [7, SECRET.encode(), [SECRET]])
def test_what_no_token_comes_from(given):
    with pytest.raises(TypeError) as caught:
        source_of(given)
    kind = type(given).__name__
    assert str(caught.value) == f"token: expected a str, a TokenSource, a function or None, got {kind}"


def test_names():
    assert repr(source_of(SECRET)) == "<the token that was given>"
    assert repr(source_of(None)) == "<no token>"
    assert repr(source_of(ask)) == "<the token function ask>"
    assert repr(source_of(GIVEN["partial"])) == "<the token function partial>"
    assert repr(Vault()) == "<the token source Vault>"
    assert repr(TokenEnv()) == "<the environment variable SPACETIMEDB_TOKEN>"
    assert repr(TokenFile("/there/token")) == f"<the token file {str(Path('/there/token'))!r}>"


@pytest.mark.parametrize(("given", "can_renew"), [(SECRET, False), (ask, True), (Vault(), False), (None, False)])
def test_only_functions_may_have_another_token(given, can_renew):
    assert source_of(given).can_renew == can_renew


def test_sources_keep_no_tokens_of_their_own_accord():
    assert Vault().store(SECRET) is False


# --- functions --------------------------------------------------------------------------------------------------------

BAD = {
    "bytes": (SECRET.encode(), "expected a token as str, got bytes"),
    "a number": (7, "expected a token as str, got int"),
    "empty": ("", "expected visible ASCII characters, got an empty text"),
    "a line feed": (SECRET + "\n", "expected visible ASCII characters, got blanks or others among them"),
    "two headers": (f"{SECRET}\r\nx: y", "expected visible ASCII characters, got blanks or others among them"),
    "a scheme": (f"Bearer {SECRET}", "expected visible ASCII characters, got blanks or others among them"),
    "a letter": (SECRET + "é", "expected visible ASCII characters, got blanks or others among them"),
    "long": ("e" * (MAX_TOKEN + 1), "expected at most 65,536 characters, got 65,537"),
}


@pytest.mark.parametrize(("answer", "why"), BAD.values(), ids=BAD)
def test_answers_that_are_no_tokens(answer, why):
    def give():
        return answer

    assert refused(source_of(give)) == f"the token function {give.__qualname__}: {why}"


@pytest.mark.anyio
async def test_async_answers_that_are_no_tokens():
    async def give():
        return SECRET.encode()

    with pytest.raises(AuthenticationError, match="expected a token as str, got bytes$"):
        await fetch_async(source_of(give))


def test_a_text_that_is_no_token():
    assert refused(source_of(SECRET + "\n")).startswith("the token that was given: expected visible ASCII characters")


def test_a_function_that_fails():
    def vault():
        raise KeyError(SECRET)

    source = source_of(vault)
    assert refused(source) == f"the token function {vault.__qualname__} raised KeyError"
    with pytest.raises(AuthenticationError) as caught:
        fetch_now(source)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.anyio
async def test_an_async_function_that_fails():
    async def vault():
        raise TimeoutError

    with pytest.raises(AuthenticationError, match=r"vault raised TimeoutError$") as caught:
        await fetch_async(source_of(vault))
    assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ConnectionLost("gone"), KeyboardInterrupt()])
async def test_errors_that_are_clear_already(error):
    def vault():
        raise error

    for fetch in (fetch_now, fetch_async):
        with pytest.raises(type(error)) as caught:
            await fetch(source_of(vault))
        assert caught.value is error


def test_where_nothing_can_be_awaited():
    with pytest.raises(LocalProtocolError) as caught:
        fetch_now(source_of(ask))
    assert str(caught.value) == (
        "the token function ask is async, and this connection cannot await it: expected a plain function"
    )


def test_where_nothing_can_be_awaited_that_is_no_coroutine():
    class Answer:
        def __await__(self):
            yield

    with pytest.raises(LocalProtocolError, match="cannot await it"):
        fetch_now(source_of(Answer))


# --- files ------------------------------------------------------------------------------------------------------------


def test_no_file_is_no_token(tmp_path):
    assert fetch_now(TokenFile(tmp_path / "token")) is None


def test_a_stored_token_is_found_again(tmp_path):
    path = tmp_path / "new" / "token"
    assert TokenFile(path).store(SECRET)
    assert fetch_now(TokenFile(str(path))) == SECRET
    assert path.read_text() == SECRET + "\n"


def test_the_longest_token_is_found_again(tmp_path):
    file = TokenFile(tmp_path / "token")
    file.store("e" * MAX_TOKEN)
    assert fetch_now(file) == "e" * MAX_TOKEN


@posix
def test_a_token_is_stored_for_the_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        TokenFile(tmp_path / "new" / "token").store(SECRET)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "token").stat().st_mode) == 0o600


@posix
def test_a_file_is_tightened(tmp_path, caplog):
    path = tmp_path / "token"
    path.write_text(SECRET)
    path.chmod(0o644)
    assert fetch_now(TokenFile(path)) == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "mode 0644" in caplog.text
    assert SECRET not in caplog.text


def test_a_token_in_a_file_is_never_replaced(tmp_path, caplog):
    file = TokenFile(tmp_path / "token")
    file.store(SECRET)
    assert not file.store("other")
    assert fetch_now(file) == SECRET
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"{file.description} was created by somebody else meanwhile and is kept; this identity is not"
    )


def test_what_cannot_be_read_back_is_not_stored(tmp_path):
    file = TokenFile(tmp_path / "token")
    with pytest.raises(AuthenticationError, match="expected visible ASCII characters"):
        file.store("two\nlines")
    assert os.listdir(tmp_path) == []


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert TokenFile("~/token").path == tmp_path / "token"
    assert TokenCli("~/cli.toml").path == tmp_path / "cli.toml"


@pytest.mark.parametrize("text", [SECRET, f"{SECRET}\n", f"\ufeff{SECRET}\r\n", f"\n {SECRET} \n\n"])
def test_how_editors_leave_a_file(tmp_path, text):
    (tmp_path / "token").write_bytes(text.encode())
    assert fetch_now(TokenFile(tmp_path / "token")) == SECRET


BAD_FILES = {
    "empty": (b"", ": expected visible ASCII characters, got an empty text"),
    "blank": (b" \n", ": expected visible ASCII characters, got an empty text"),
    "binary": (b"\x00\xff\x80", ": expected visible ASCII characters, got blanks or others among them"),
    "UTF-16": (SECRET.encode("utf-16"), ": expected visible ASCII characters, got blanks or others among them"),
    "lines": (f"{SECRET}\n{SECRET}\n".encode(), ": expected visible ASCII characters, got blanks or others among them"),
    "large": (b"e" * 70_000, " cannot be read: expected at most 65,544 bytes, it has more"),
}


@pytest.mark.parametrize(("data", "why"), BAD_FILES.values(), ids=BAD_FILES)
def test_files_that_hold_no_token(tmp_path, caplog, data, why):
    path = tmp_path / "token"
    path.write_bytes(data)
    path.chmod(0o644)
    before = path.stat()
    assert refused(TokenFile(path)) == f"the token file {str(path)!r}{why}"
    assert path.read_bytes() == data
    assert (path.stat().st_mode, caplog.records) == (before.st_mode, [])


@posix
@pytest.mark.parametrize("word", ["3.12", "1.2.3", "hello"])
def test_a_word_in_a_file_that_is_no_token_of_a_server(tmp_path, caplog, word):
    path = tmp_path / "version"
    path.write_text(word)
    path.chmod(0o644)
    assert fetch_now(TokenFile(path)) == word, "what a token is the server says"
    assert (stat.S_IMODE(path.stat().st_mode), caplog.records) == (0o644, [])


@posix
def test_what_is_no_file(tmp_path):
    assert refused(TokenFile(tmp_path)) == f"the token file {str(tmp_path)!r} cannot be read: Is a directory"


@posix
def test_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    file = TokenFile(tmp_path / "file" / "token")
    with pytest.raises(AuthenticationError) as caught:
        file.store(SECRET)
    assert str(caught.value) == (
        f"{file.description} cannot be written, so the new identity would be lost: Not a directory"
    )


# --- the environment --------------------------------------------------------------------------------------------------


def test_environment(monkeypatch):
    monkeypatch.setenv("SPACETIMEDB_TOKEN", f" {SECRET}\n")
    monkeypatch.setenv("OTHER", "other")
    assert fetch_now(TokenEnv()) == SECRET
    assert fetch_now(TokenEnv("OTHER")) == "other"


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_environment_without_a_token(monkeypatch, value):
    monkeypatch.delenv("SPACETIMEDB_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("SPACETIMEDB_TOKEN", value)
    expected = "the environment variable SPACETIMEDB_TOKEN: expected a token, it is not set or empty"
    assert refused(TokenEnv()) == expected
    assert fetch_now(TokenEnv(optional=True)) is None


def test_an_optional_variable_that_holds_no_token(monkeypatch):
    monkeypatch.setenv("SPACETIMEDB_TOKEN", f"Bearer {SECRET}")
    assert "expected visible ASCII characters" in refused(TokenEnv(optional=True))


# --- the `spacetime` program ------------------------------------------------------------------------------------------

CONFIG = f"""
default_server = "maincloud"
web_session_token = "of-the-website"
spacetimedb_token = "{SECRET}"
root_database_namespace = ""

[[server_configs]]
nickname = "maincloud"
host = "maincloud.spacetimedb.com"
protocol = "https"

[[server_configs]]
nickname = "local"
host = "127.0.0.1:3000"
protocol = "http"
"""


@posix
def test_login_of_the_program(tmp_path, monkeypatch):
    path = tmp_path / "spacetime" / "cli.toml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    path.chmod(0o644)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert fetch_now(TokenCli()) == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "somebody else's file"


def cli(tmp_path, data):
    path = tmp_path / "cli.toml"
    path.write_bytes(data)
    return TokenCli(path)


BAD_CONFIGS = {
    "logged out": (b'web_session_token = "of-the-website"\n', "nobody is logged in; run `spacetime login`"),
    "a number": (b"spacetimedb_token = 7", "expected a token as str, got int"),
    "empty": (b'spacetimedb_token = ""', "expected visible ASCII characters, got an empty text"),
    "no TOML": (f"spacetimedb_token = {SECRET}".encode(), "expected TOML, got another text"),
    "twice": (2 * f'"{SECRET}" = 1\n'.encode(), "expected TOML, got another text"),
    "no UTF-8": (f'spacetimedb_token = "{SECRET}\xff"'.encode("latin-1"), "expected TOML, got another text"),
    "too deep": (b"a = " + b"[" * 50_000, "expected TOML, got another text"),
}


@pytest.mark.parametrize(("data", "why"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_no_login(tmp_path, data, why):
    source = cli(tmp_path, data)
    assert refused(source) == f"the login of the spacetime program in {str(source.path)!r}: {why}"
    with pytest.raises(AuthenticationError) as caught:
        fetch_now(source)
    assert caught.value.__context__ is None, "which would hold the text"


def test_no_program(tmp_path):
    assert refused(TokenCli(tmp_path / "cli.toml")).endswith("there is no such file; run `spacetime login`")


def test_a_large_configuration(tmp_path):
    source = cli(tmp_path, b"#" * 1_100_000)
    assert refused(source).endswith("cannot be read: expected at most 1,048,576 bytes, it has more")


def test_where_the_program_keeps_it(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    xdg = tmp_path / "config"
    usual = tmp_path / ".config" / "spacetime" / "cli.toml"
    assert cli_config_path({"XDG_CONFIG_HOME": str(xdg)}, is_windows=False) == xdg / "spacetime" / "cli.toml"
    assert cli_config_path({}, is_windows=False) == usual
    assert cli_config_path({"XDG_CONFIG_HOME": ""}, is_windows=False) == usual
    assert cli_config_path({"XDG_CONFIG_HOME": "relative"}, is_windows=False) == usual
    below = Path("SpacetimeDB", "config", "cli.toml")
    assert cli_config_path({"LOCALAPPDATA": str(xdg)}, is_windows=True) == xdg / below
    assert cli_config_path({}, is_windows=True) == tmp_path / "AppData" / "Local" / below
