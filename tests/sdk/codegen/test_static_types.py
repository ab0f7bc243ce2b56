"""What type checkers know: of each expression its type, of each mistake that it is one. Both checkers, all packages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spacetimedb_sdk
from tests.behaviour_module import behaviour
from tests.sdk.codegen.support import hostile, recorded_packages, written

SRC = Path(spacetimedb_sdk.__file__).parents[1]

REVEALED = {
    # rows
    "row": "EveryType",
    "row.id": "int",
    "row.maybe": "int | None",
    "row.nested": "Some[int | None] | None",
    "row.points": "list[Point]",
    "row.maybe_point": "Point | None",
    "row.schedule": "ScheduleAt",
    "row.simple": "SimpleEnum",
    "row.vectors.a": "bytes",
    "row.vectors.p": "list[str]",
    "row.primitives.q": "Identity",
    "row.primitives.n": "float",
    "attrs.evolve(row, id=1)": "EveryType",
    # tables
    "conn.db.user": "UserTable[Awaiting]",
    "conn.db.user.find(identity=me)": "User | None",
    "conn.db.pair.find(id=1)": "Pair | None",
    "conn.db.pair.find(key='a')": "Pair | None",
    "conn.db.pair.filter(group=1, value=2)": "Iterator[Pair]",
    "next(iter(conn.db.message))": "Message",
    "conn.db.pair.keys()": "list[int]",
    "conn.db.pair.count()": "int",
    "conn.db['any name']": "TableHandle",
    "conn.db.pair.changes()": "AsyncStream[Inserted[Pair] | Updated[Pair] | Deleted[Pair]]",
    "conn.db.pair.on_insert(lambda ctx, row: ctx.db.user.find(identity=me)).callback": (
        "(Context[Awaiting], Pair) -> object"
    ),
    # queries
    "conn.db.pair.where(lambda p: (p.id > 3) & (p.key == 'a'))": "RowQuery[Pair]",
    "chat.query.user.where(lambda u: u.identity == me)": "RowQuery[User]",
    "chat.query.pair.where()": "RowQuery[Pair]",
    "await conn.query(chat.query.pair.where())": "Rows[Pair]",
    "await conn.query('SELECT * FROM pair')": "Rows[Any]",
    # functions
    "conn.reducers.add_pair(1, 'a', 2, value=3)": "AsyncPending[ReducerEvent]",
    "await conn.reducers.send_message(text='hello')": "ReducerEvent",
    "conn.reducers.send_message.options(timeout=2)('hello')": "AsyncPending[ReducerEvent]",
    "conn.reducers.send_message.name": "str",
    "partial(conn.reducers.send_message, 'hello')()": "AsyncPending[ReducerEvent]",
    "await conn.procedures.add(1, b=2)": "int",
    "await conn.procedures.add.options(timeout=2)(1, b=2)": "int",
    "partial(conn.procedures.add, 1)(b=2)": "AsyncPending[int]",
    "await conn.procedures.fail_procedure()": "tuple[()]",
    "await conn.procedures.add_pair_procedure(1, 'a', 2, 3)": "bool",
    # the whole
    "chat.connect('http://host', 'chat', token='t')": "Connecting[Connection]",
    "spacetimedb_sdk.connect('http://host', 'chat', bindings=chat)": "Connecting[Connection]",
    "(await spacetimedb_sdk.connect('http://host', 'chat', bindings=chat)).db": "Tables[Awaiting]",
    "await conn.subscribe_to_all_tables()": "Subscription[Context[Awaiting], Awaiting]",
    "await conn.subscribe(chat.query.pair.where(), cache='keys')": "Subscription[Context[Awaiting], Awaiting]",
    "await sub.unsubscribe()": "None",
    "await sub.replace('SELECT * FROM pair')": "Subscription[Context[Awaiting], Awaiting]",
    "chat.SCHEMA_HASH": "str",
    # in callbacks, whatever host calls them
    "told.db.user.find(identity=me)": "User | None",
    "told.db.pair.changes()": "Stream[Inserted[Pair] | Updated[Pair] | Deleted[Pair]]",
    "told.reducers.add_pair(1, 'a', 2, value=3)": "Pending[ReducerEvent]",
    "told.procedures.add(1, b=2)": "Pending[int]",
    # connections that block
    "blocking.connect('http://host', 'chat', bindings=chat, timeout=5)": "BlockingConnection",
    "blocking.connect('http://host', 'chat', timeout=5)": "Connection",
    "spacetimedb_sdk.blocking.connect('http://host', 'chat', bindings=chat)": "BlockingConnection",
    "held.db.pair.find(id=1)": "Pair | None",
    "held.db.pair.changes()": "BlockingStream[Inserted[Pair] | Updated[Pair] | Deleted[Pair]]",
    "held.query(chat.query.pair.where())": "Rows[Pair]",
    "held.query('SELECT * FROM pair')": "Rows[Any]",
    "held.reducers.send_message(text='hello')": "ReducerEvent",
    "held.reducers.add_pair.options(timeout=2)(1, 'a', 2, value=3)": "ReducerEvent",
    "held.procedures.add(1, b=2)": "int",
    "held.db.user.on_insert(lambda ctx, row: ctx.procedures.add(1, 2).wait()).callback": (
        "(Context[InCallback], User) -> object"
    ),
    "held.reducers.send_message.on_outcome(lambda ctx: ctx.reducers.send_message('hello').wait()).callback": (
        "(Context[InCallback]) -> object"
    ),
    "held.subscribe(chat.query.pair.where())": "Subscription[Context[InCallback], Blocking]",
    "held.subscribe(chat.query.pair.where()).replace()": "Subscription[Context[InCallback], Blocking]",
    # connections for frame loops
    "frame.connect('http://host', 'chat', bindings=chat)": "FrameConnection",
    "frame.connect('http://host', 'chat')": "Connection",
    "game.db.pair.find(id=1)": "Pair | None",
    "game.db.pair.changes()": "FrameStream[Inserted[Pair] | Updated[Pair] | Deleted[Pair]]",
    "game.query(chat.query.pair.where())": "FramePending[Rows[Pair]]",
    "game.reducers.send_message(text='hello')": "FramePending[ReducerEvent]",
    "game.procedures.add(1, b=2).result()": "int",
    "game.subscribe(chat.query.pair.where()).unsubscribe()": "FramePending[None]",
    "game.opened": "Pending[FrameConnection]",
    # what any connection has
    "any_reducers.send_message('hello')": "ReducerEvent | Pending[ReducerEvent]",
    "any_procedures.add(1, 2)": "int | Pending[int]",
}

REFUSED = [
    "conn.db.usr",
    "conn.db.pair.find(value=1)",
    "conn.db.pair.find(id='one')",
    "conn.db.pair.find(5)",
    "conn.db.no_key.find(n=1)",
    "conn.db.pair.filter(colour='red')",
    "conn.db.no_key.on_update(lambda ctx, old, new: None)",
    "conn.db.secret",
    "conn.db.pair.where(lambda p: p.id > 'three')",
    "conn.db.pair.where(lambda p: p.colour == 1)",
    "conn.db.every_type.where(lambda e: e.points == 1)",
    "conn.reducers.add_pair(1, 2, 3, 4)",
    "conn.reducers.add_pair(1, 'a', 2)",
    "conn.reducers.add_pair(1, 'a', 2, worth=3)",
    "nursery.start_soon(conn.reducers.send_message, 5)",
    "conn.reducers.client_connected()",
    "conn.procedures.nothing()",
    "chat.Pair(id=1)",
    "chat.Point(x='1', y=2)",
    "row.colour",
    "chat.connect('http://host', 'chat', colour='red')",
    "chat.EnumWithPayload.U8('text')",
    "held.reducers.add_pair(1, 2, 3, 4)",
    "held.procedures.add(1)",
    "held.db.pair.find(value=1)",
    "game.reducers.add_pair(1, 'a', 2, value='three')",
    "game.db.secret",
    "told.reducers.nothing()",
    "blocking.connect('http://host', 'chat', bindings=chat, colour='red')",
    "frame.connect('http://host', 'chat', bindings=chat, timeout=5)",
]

PROGRAM = '''
"""A program on generated bindings."""
from collections.abc import Awaitable, Callable
from functools import partial
from typing import assert_never

import attrs
import chat
import spacetimedb_sdk
import trio
from spacetimedb_sdk import Deleted, Identity, Inserted, Updated, blocking, frame


def name(payload: chat.AnyEnumWithPayload) -> str:
    """Every variant once: a checker sees that none is missing."""
    match payload:
        case chat.EnumWithPayload.Str(value):
            return value
        case chat.EnumWithPayload.Bytes(value):
            return value.hex()
        case chat.EnumWithPayload.Nothing():
            return "nothing"
        case {others}:
            return "other"
        case _:
            assert_never(payload)


def everywhere(reducers: chat.reducers.Reducers, procedures: chat.procedures.Procedures) -> None:
    """What takes the functions of any connection."""


def heard(ctx: chat.Context) -> None:
    """What is told of a reducer's outcomes."""
    ctx.reducers.send_message("heard")


def together(conn: chat.Connection, nursery: trio.Nursery) -> Callable[[int, int], Awaitable[int]]:
    """Calls where functions are wanted."""
    nursery.start_soon(conn.reducers.send_message, "hello")
    nursery.start_soon(partial(conn.reducers.send_message, text="hello"))
    everywhere(conn.reducers, conn.procedures)
    return conn.procedures.add


def welcome(ctx: chat.Context, user: chat.User) -> None:
    """A callback."""
    everywhere(ctx.reducers, ctx.procedures)
    ctx.reducers.send_message(f"hello, {user.name}")


async def follow(conn: chat.Connection) -> None:
    """A stream."""
    conn.db.user.on_insert(welcome)
    sub = await conn.subscribe(chat.query.pair.where())
    sub.on_applied(lambda ctx: ctx.db.user.count())
    async for change in conn.db.pair.changes():
        match change:
            case Inserted(row) | Deleted(row):
                print(row.key)
            case Updated(old, new):
                print(old.value, new.value)
            case _:
                assert_never(change)


def hold(conn: chat.BlockingConnection) -> None:
    """The same without await."""
    conn.db.user.on_insert(welcome)
    conn.reducers.send_message.on_outcome(heard)
    everywhere(conn.reducers, conn.procedures)
    conn.subscribe(chat.query.pair.where()).on_applied(lambda ctx: ctx.db.user.count())
    for change in conn.db.pair.changes():
        if isinstance(change, Inserted):
            print(change.row.key)


def play(conn: chat.FrameConnection) -> None:
    """The same in a frame loop."""
    conn.db.user.on_insert(welcome)
    conn.on_connect(hail)

    async def story() -> chat.Pair | None:
        """What a loop runs step by step."""
        await conn.subscribe(chat.query.pair.where())
        await conn.reducers.send_message("hello")
        return conn.db.pair.find(id=await conn.procedures.add(1, 2))

    conn.start(story())


def hail(conn: chat.FrameConnection) -> None:
    """What a frame loop calls when it is connected."""
    conn.reducers.send_message("hello")


'''

ARGUMENTS = (
    "conn: chat.Connection, held: chat.BlockingConnection, game: chat.FrameConnection, told: chat.Context, "
    "me: Identity, row: chat.EveryType, nursery: trio.Nursery, "
    "any_reducers: chat.reducers.Reducers, any_procedures: chat.procedures.Procedures"
)
REFUSING = f"async def refused({ARGUMENTS}) -> None:"

TOOLS = ("mypy", "pyright")


def program() -> str:
    names = [variant for variant in VARIANTS if variant not in ("Str", "Bytes", "Nothing")]
    text = PROGRAM.replace("{others}", " | ".join(f"chat.EnumWithPayload.{name}()" for name in names)).lstrip()
    text += f"async def revealed({ARGUMENTS}) -> None:\n"
    text += "    sub = await conn.subscribe('SELECT * FROM user')\n"
    text += "".join(f"    reveal_type({expression})\n" for expression in REVEALED)
    text += f"\n\n{REFUSING}\n"
    return text + "".join(f"    {expression}\n" for expression in REFUSED)


VARIANTS = [
    *("U8", "U16", "U32", "U64", "U128", "U256", "I8", "I16", "I32", "I64", "I128", "I256", "Bool", "F32", "F64"),
    *("Str", "Identity", "ConnectionId", "Timestamp", "Bytes", "Ints", "Strings", "SimpleEnums", "Nothing"),
]


def simple(type_: str) -> str:
    """A type as both checkers could write it: without modules and their own words."""
    type_ = re.sub(r"def (\(.*?\)) ->", r"\1 ->", type_.replace("builtins.", ""))
    type_ = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", type_)
    return type_.replace("Coroutine[", "CoroutineType[").replace("tuple[()]", "tuple[()]")


class Report:
    """What a checker said: types and errors of the program by line, and everything about the packages."""

    def __init__(self) -> None:
        self.types: dict[int, str] = {}
        self.errors: dict[int, str] = {}
        self.elsewhere: list[str] = []

    def add(self, file: str, line: int, severity: str, message: str) -> None:
        if Path(file).name != "program.py":
            self.elsewhere += [f"{file}:{line}: {message}"] if severity == "error" else []
        elif severity == "error":
            self.errors[line] = message
        elif found := re.match(r'(?:Revealed type is|Type of ".*" is) "(.*)"$', message, re.DOTALL):
            self.types[line] = simple(found[1])  # of an expression inside another one, the outer is told last


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All packages, and the program."""
    folder = tmp_path_factory.mktemp("checked")
    for name, schema in {**recorded_packages(), "hostile": hostile(), "chat": behaviour.schema}.items():
        written(folder, name, schema)
    (folder / "program.py").write_text(program(), "utf-8")
    (folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\nmypy_path = {SRC}\n[mypy-brotli]\nignore_missing_imports = True\n", "utf-8"
    )
    (folder / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "extraPaths": [str(SRC)], "pythonVersion": "3.11"}), "utf-8"
    )
    return folder


def run(folder: Path, tool: str, *arguments: str) -> str:
    pytest.importorskip(tool, reason=f"{tool} is not installed")
    command = [sys.executable, "-m", tool, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def mypy(folder):
    packages = sorted(path.parent.name for path in folder.glob("*/__init__.pyi"))
    arguments = [argument for name in packages for argument in ("-p", name)]
    output = run(folder, "mypy", "--no-error-summary", "--output=json", "-m", "program", *arguments)
    report = Report()
    for line in output.splitlines():
        said = json.loads(line)
        report.add(said["file"], said["line"], said["severity"], said["message"])
    return report


@pytest.fixture(scope="module")
def pyright(folder):
    output = run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    report = Report()
    for said in json.loads(output)["generalDiagnostics"]:
        line = said["range"]["start"]["line"] + 1
        report.add(said["file"], line, said["severity"], said["message"])
    return report


@pytest.fixture(params=TOOLS)
def report(request):
    return request.getfixturevalue(request.param)


def line_of(text: str) -> int:
    return program().splitlines().index(text) + 1


def test_every_package_is_typed_to_the_last(report):
    assert report.elsewhere == []


def test_a_program_that_is_right_is_right(report):
    limit = line_of(REFUSING)
    assert {line: error for line, error in report.errors.items() if line < limit} == {}


@pytest.mark.parametrize("expression", [each for each, type_ in REVEALED.items() if type_ is not None])
def test_what_an_expression_is(report, expression):
    assert report.types[line_of(f"    reveal_type({expression})")] == simple(REVEALED[expression] or "")


@pytest.mark.parametrize("expression", REFUSED)
def test_what_is_refused(report, expression):
    assert line_of(f"    {expression}") in report.errors
