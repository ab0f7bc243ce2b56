"""Which server, database and token a command uses, and what its errors come to."""

from __future__ import annotations

import importlib.util
import io
import json
import sys

import pytest

from spacetimedb_proto import errors
from spacetimedb_sdk import cli
from spacetimedb_sdk.cli.failures import ExitCode, code_of
from spacetimedb_sdk.testing import serve
from tests.loopback import closed_port

COUNT = "SELECT COUNT(*) AS n FROM user"


@pytest.fixture
def configure(tmp_path):
    """Writes the configuration of the `spacetime` program."""

    def write(uri, token=None, default="mine"):
        scheme, _, host = uri.partition("://")
        lines = [f'default_server = "{default}"', *([f'spacetimedb_token = "{token}"'] if token else [])]
        lines += ["[[server_configs]]", 'nickname = "mine"', f'host = "{host}"', f'protocol = "{scheme}"']
        folder = tmp_path / "config" / "spacetime"
        folder.mkdir(parents=True)
        (folder / "cli.toml").write_text("\n".join(lines))

    return write


def test_the_environment(alone, server, monkeypatch):
    monkeypatch.setenv("SPACETIMEDB_URI", server.uri)
    monkeypatch.setenv("SPACETIMEDB_DATABASE", server.database)
    assert alone("sql --json", COUNT).ok().json == [{"n": 1}]


def test_the_servers_that_the_spacetime_program_knows(alone, server, configure):
    configure(server.uri)
    assert alone("sql --json -d chat", COUNT).ok().json == [{"n": 1}]
    assert alone("sql --json -d chat --uri mine", COUNT).ok().json == [{"n": 2}]  # another newcomer


def test_the_login_goes_to_servers_that_are_configured(alone, server, configure):
    configure(server.uri, server.owner_token)
    assert alone("logs -d chat").ok()
    assert alone("logs -d chat --anonymous").code == 4


def test_the_login_goes_nowhere_else(program, configure, server):
    configure("http://127.0.0.1:1", server.owner_token)
    assert program("logs").code == 4


def test_a_token_of_the_environment_or_of_a_file(program, server, monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text(server.owner_token)
    file.chmod(0o600)
    program("logs --token-file", file).ok()
    monkeypatch.setenv("SPACETIMEDB_TOKEN_FILE", str(file))
    program("logs").ok()
    monkeypatch.delenv("SPACETIMEDB_TOKEN_FILE")
    monkeypatch.setenv("SPACETIMEDB_TOKEN", server.owner_token)
    program("logs").ok()


def test_a_token_file_that_is_not_there_is_made(program, tmp_path):
    file = tmp_path / "token"
    program("sql --token-file", file, COUNT).ok()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in program("identity show --token-file", file).ok().out


@pytest.mark.parametrize("broken", ["not = [toml", 'server_configs = "none"', "[[server_configs]]\nnickname = 1"])
def test_a_configuration_that_cannot_be_read_is_none(alone, tmp_path, broken):
    folder = tmp_path / "config" / "spacetime"
    folder.mkdir(parents=True)
    (folder / "cli.toml").write_text(broken)
    done = alone("sql -d chat", COUNT)
    assert done.code == 2
    assert "no server" in done.err


def test_no_database(alone, server):
    done = alone("sql --uri", server.uri, COUNT)
    assert done.code == 2
    assert "no database" in done.err


def test_an_address_that_is_none(alone):
    done = alone("sql -d chat --uri ftp://example", COUNT)
    assert done.code == 2
    assert "the address of a server" in done.err


# --- errors -----------------------------------------------------------------------------------------------------------


def test_no_server(alone):
    with closed_port() as nobody:
        done = alone("sql -d chat --uri", f"http://127.0.0.1:{nobody.getsockname()[1]}", COUNT)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_no_such_database(alone, server):
    done = alone("schema -d nobody --uri", server.uri)
    assert done.code == 1
    assert "nobody" in done.err


def test_a_token_that_is_refused(program, module, monkeypatch):
    with serve(module) as other:
        token = other.owner_token
    monkeypatch.setenv("SPACETIMEDB_TOKEN", token)
    for command in (["sql", COUNT], ["subscribe"], ["identity show"]):
        done = program(*command)
        assert done.code == 4
        assert done.err.startswith("error: the environment variable SPACETIMEDB_TOKEN: the server answered 401: ")
        assert token not in done.out + done.err


def test_an_identity_that_may_not(program, owner, monkeypatch):
    def fail(*_, **__):
        raise errors.AuthenticationError("not yours", status=403)

    monkeypatch.setattr("spacetimedb_sdk.blocking.connect", fail)
    assert program("subscribe").err == "error: not yours\n"


def test_a_file_that_is_not_there(alone):
    assert alone("schema --schema /nowhere").code == 2


USAGE = [
    (["call", "nobody"], "no reducer or procedure 'nobody' to call; there are: send_message, set_name"),
    (["call", "send_message"], "send_message(text) is missing 'text'"),
    (["call", "send_message", "--args", "[1"], "Invalid value for --args: expected JSON: "),
    (["export", "--out", "x.foo", "message"], "--out: expected a name that ends in .parquet, .csv, "),
    (["sql"], "Missing argument '"),
    (["sql", COUNT, "--format", "xls"], "Invalid value for '--format' / '-f': "),
    (["nothing"], "No such command 'nothing'."),
    (["schema", "--nothing"], "No such option: --nothing"),
]


@pytest.mark.parametrize(("arguments", "text"), USAGE, ids=str)
def test_usage_errors_are_one_line_as_all_errors(alone, server, monkeypatch, arguments, text):
    monkeypatch.setenv("SPACETIMEDB_URI", server.uri)
    monkeypatch.setenv("SPACETIMEDB_DATABASE", server.database)
    monkeypatch.setenv("COLUMNS", "20")
    done = alone(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {text}")
    assert done.err.count("\n") == 1


def test_without_a_command_it_helps(alone):
    done = alone("")
    assert "Usage" in done.out
    assert done.err == ""


ERRORS = [
    (["sql", "SELECT * FROM nothing"], 1, "QueryError", "no such table: `nothing`"),
    (["call", "nobody"], 2, "UsageError", "no reducer or procedure 'nobody' to call; "),
    (["call", "send_message", "--args", "[1]"], 2, "EncodeError", "expected arguments of send_message(text), got "),
    (["sql"], 2, "UsageError", "Missing argument "),
    (["export", "--out", "no\nfolder.foo", "message"], 2, "UsageError", "--out: expected a name that "),
]


@pytest.mark.parametrize(("arguments", "code", "kind", "text"), ERRORS, ids=str)
def test_errors_as_json(alone, server, monkeypatch, arguments, code, kind, text):
    monkeypatch.setenv("SPACETIMEDB_URI", server.uri)
    monkeypatch.setenv("SPACETIMEDB_DATABASE", server.database)
    done = alone(*arguments, "--json")
    assert (done.code, done.out) == (code, "")
    (line,) = done.err.splitlines()
    told = json.loads(line)
    assert told["kind"] == kind
    assert told["error"].startswith(text)
    assert alone(*arguments).err.startswith("error: ")


def test_errors_steer_nothing(program):
    done = program("export message --out", "a\n\x1b[2J.foo")
    assert done.err.endswith("got a \\x1b[2J.foo\n")
    assert done.err.count("\n") == 1


def test_nobody_answers_a_question(program, monkeypatch):
    nobody = io.StringIO()
    nobody.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", nobody)
    done = program("delete")
    assert done.code == 1
    assert done.err.endswith("error: nobody has agreed\n")


class Left(io.StringIO):
    """An output that nobody reads any more."""

    def write(self, _text):
        raise BrokenPipeError


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_reader_that_has_left(program, monkeypatch, form):
    monkeypatch.setattr(sys, "stdout", Left())
    done = program("sql --format", form, "SELECT * FROM user")
    assert (done.code, done.err) == (141, "")


def test_debug_shows_where(program):
    quiet, loud = program("sql", "nonsense"), program("--debug sql", "nonsense")
    assert "Traceback" not in quiet.err
    assert "Traceback" in loud.err
    assert quiet.code == loud.code == 1


CODES = [
    (errors.ReducerError("no"), ExitCode.REFUSED),
    (errors.QueryError("no"), ExitCode.REFUSED),
    (errors.DatabaseNotFound("no", status=404), ExitCode.REFUSED),
    (errors.ConnectError("no", status=503), ExitCode.REFUSED),
    (errors.ConnectError("nobody"), ExitCode.NO_CONNECTION),
    (errors.NotSent("nobody"), ExitCode.NO_CONNECTION),
    (errors.ConnectionLost("gone"), ExitCode.NO_CONNECTION),
    (errors.AuthenticationError("who"), ExitCode.AUTHENTICATION),
    (errors.OutcomeUnknown("?"), ExitCode.UNKNOWN),
    (errors.CallTimeout("?"), ExitCode.UNKNOWN),
    (errors.SchemaMismatch("other"), ExitCode.DIFFERENT),
    (errors.EncodeError("a", "b"), ExitCode.USAGE),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda each: type(each).__name__)
def test_what_errors_come_to(error, code):
    assert code_of(error) is code


def test_without_typer_it_says_what_to_install(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "typer" else find(name))
    assert cli.main(["sql"]) == 2
    text = capsys.readouterr().err
    assert "typer" in text
    assert "pip install 'spacetimedb-sdk[cli]'" in text


@pytest.mark.parametrize("command", ["", "sql", "call", "subscribe", "identity", "generate", "doctor", "serve"])
def test_help(alone, command):
    assert "Usage" in alone(f"{command} --help").ok().out


def test_the_version(alone):
    assert alone("--version").ok().out.startswith("spacetimedb-sdk ")
