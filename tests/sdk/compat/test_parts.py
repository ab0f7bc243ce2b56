"""What the clients of 0.7 are made of: names, plain data, callbacks, and the notices."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Some, TimeDuration, Timestamp
from spacetimedb_proto.schema import Schema, load_schema
from spacetimedb_sdk.compat import values as legacy
from spacetimedb_sdk.compat.arguments import also_called
from spacetimedb_sdk.compat.callbacks import call_reducer_callback, takes_address
from spacetimedb_sdk.compat.driven import uri_of
from spacetimedb_sdk.compat.names import class_name, meant_by, rewritten
from spacetimedb_sdk.compat.plain import from_plain, to_plain
from tests.proto.schema.support import recorded
from tests.sdk.test_imports import brought, ours
from tests.strategies import types_and_values

# --- notices and imports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "instead"),
    [
        ("spacetimedb_client", "`spacetimedb_sdk.frame.connect`"),
        ("spacetimedb_async_client", "`async with spacetimedb_sdk.connect"),
        ("client_cache", "`conn.db`"),
        ("local_config", "`spacetimedb_sdk.TokenFile`"),
    ],
)
def test_each_module_says_once_what_to_write_instead(module, instead):
    brought(
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        f"    import spacetimedb_sdk.{module}\n"
        f"    import spacetimedb_sdk.{module}\n"
        "[warning] = told\n"
        "assert warning.category is DeprecationWarning\n"
        "assert warning.filename == '<string>', 'it is said of whoever imports it'\n"
        f"assert str(warning.message).startswith('spacetimedb_sdk.{module} is kept for'), warning.message\n"
        f"assert {instead!r} in str(warning.message), warning.message\n"
    )


def test_who_does_not_ask_for_them_does_not_get_them():
    modules = ours(brought("import spacetimedb_sdk.frame; from spacetimedb_sdk import *"))
    assert {name for name in modules if "compat" in name or "_client" in name or "_config" in name} <= {
        "spacetimedb_sdk.http.async_client",
        "spacetimedb_sdk.http.blocking_client",
    }


# --- values -----------------------------------------------------------------------------------------------------------


def test_identities_and_addresses():
    identity = legacy.Identity.from_string("ab" * 32)
    assert (str(identity), identity.data) == ("ab" * 32, bytes([0xAB] * 32))
    assert identity == legacy.Identity.from_bytes(identity.data) == legacy.Identity.from_string(identity)
    assert identity.core == Identity.from_hex("ab" * 32)
    assert identity != legacy.Identity(bytes(32))
    assert eval(repr(identity), {"Identity": legacy.Identity}) == identity
    address = legacy.Address.from_string("01" + "00" * 15)
    assert address == legacy.Address.from_bytes(address.data)
    assert {address, legacy.Address(address.data)} == {address}
    assert {identity, legacy.Identity(identity.data)} == {identity}
    assert address.core == ConnectionId.from_hex(str(address))
    assert eval(repr(address), {"Address": legacy.Address}) == address
    assert address != identity
    assert legacy.Address.from_string("00" * 16) is None
    assert legacy.Address.from_bytes(bytes(16)) is None
    assert legacy.Address.random() != legacy.Address.random()


def test_messages_have_what_their_event_has():
    event = legacy.ReducerEvent(None, None, "say", "failed", "no", ["a"])
    message = legacy.TransactionUpdateMessage(event, {})
    assert (message.caller_identity, message.reducer, message.status, message.message, message.args) == (
        None, "say", "failed", "no", ["a"],
    )  # fmt: skip
    assert message.transaction_type == "TransactionUpdate"


# --- plain data -------------------------------------------------------------------------------------------------------


class Both:
    """A value of each kind in a recorded module, as today's SDK has it and as 0.7 has it."""

    def __init__(self) -> None:
        schema: Schema = load_schema(recorded("sdk-test", 10))
        self.types = schema.types
        self.slots = {name: slot for slot, name in schema.type_names.items()}

    def node(self, table, column=0):
        from spacetimedb_proto.bsatn.types import Ref

        return self.types.node(Ref(self.slots[table])).node.fields[column].node

    def python_type(self, name):
        return self.types.python_type(self.slots[name])


BOTH = Both()
IDENTITY, CONNECTION = Identity.from_int(7), ConnectionId.from_int(8)
SIMPLE = BOTH.python_type("SimpleEnum")
STRUCT = BOTH.python_type("ByteStruct")

PLAIN = [
    ("OneU64", 5, 5),
    ("OneString", "é", "é"),
    ("OneF64", 0.5, 0.5),
    ("OneIdentity", IDENTITY, [IDENTITY.hex()]),
    ("OneConnectionId", CONNECTION, [CONNECTION.hex()]),
    ("OneTimestamp", Timestamp(-1), -1),
    ("OneSimpleEnum", SIMPLE.One, {"1": []}),
    ("OneByteStruct", STRUCT(b=3), [3]),
    ("VecU8", b"\x00\xff", "00ff"),
    ("VecString", ["a", ""], ["a", ""]),
    ("VecByteStruct", [STRUCT(b=3)], [[3]]),
    ("OptionI32", None, {"1": []}),
    ("OptionI32", 0, {"0": 0}),
    ("OptionIdentity", IDENTITY, {"0": [IDENTITY.hex()]}),
    ("OptionSimpleEnum", SIMPLE.Zero, {"0": {"0": []}}),
    ("OptionVecOptionI32", [1, None], {"0": [{"0": 1}, {"1": []}]}),
    ("OneUuid", uuid.UUID(int=5), uuid.UUID(int=5)),
]


@pytest.mark.parametrize(("table", "value", "plain"), PLAIN)
def test_plain_data(table, value, plain):
    node = BOTH.node(table)
    assert to_plain(node, value) == plain
    assert from_plain(node, plain) == value
    assert from_plain(node, value) == value, "what is a value already stays one"


class OldStruct:
    def encode(self):
        return [3]


class OldEnum:
    value = 2


@pytest.mark.parametrize(
    ("table", "written", "value"),
    [
        ("OneIdentity", legacy.Identity.from_string(IDENTITY.hex()), IDENTITY),
        ("OneIdentity", IDENTITY.hex(), IDENTITY),
        ("OneConnectionId", legacy.Address(CONNECTION.wire[::-1]), CONNECTION),
        ("OneByteStruct", OldStruct(), STRUCT(b=3)),
        ("OneByteStruct", [1, 2], [1, 2]),
        ("OneSimpleEnum", OldEnum(), SIMPLE.One),
        ("OneSimpleEnum", "One", "One"),
        ("OneSimpleEnum", {"9": []}, {"9": []}),
        ("OneTimestamp", "now", "now"),
        ("VecU8", [1, 2], [1, 2]),
        ("VecString", "abc", "abc"),
        ("OptionString", {}, None),
        ("OptionString", {"0": ["a"]}, "a"),
        ("OptionString", {"0": [None]}, None),
        ("OptionString", "a", "a"),
        ("OptionIdentity", {"0": [IDENTITY.hex()]}, IDENTITY),
    ],
)
def test_what_old_code_writes_besides(table, written, value):
    assert from_plain(BOTH.node(table), written) == value


@given(types_and_values())
def test_plain_data_loses_nothing(drawn):
    node = drawn.types.node(drawn.type)
    assert from_plain(node, to_plain(node, drawn.value)) == drawn.value


# --- names ------------------------------------------------------------------------------------------------------------


def test_old_names():
    assert class_name("user_chat") == "UserChat"
    assert class_name("pk_u_64") == "PkU64"
    known = ["user", "user_chat", "a_b", "ab", "Exact", "exact"]
    wanted = {"User": "user", "UserChat": "user_chat", "AB": None, "Exact": "Exact", "ab": "ab", "Other": None}
    assert {name: meant_by(name, known) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM User", 'SELECT * FROM "user"'),
        ("select * from  User where User.name='User' ", 'select * from  "user" where "user".name=\'User\' '),
        (
            'SELECT a.* FROM "User" a JOIN Chat ON a.id = Chat.User',
            'SELECT a.* FROM "user" a JOIN "chat" ON a.id = "chat".User',
        ),
        ("SELECT * FROM user", "SELECT * FROM user"),
        ("SELECT * FROM Known", "SELECT * FROM Known"),
        ("User", "User"),
        ("", ""),
    ],
)
def test_queries_with_old_names(query, expected):
    assert rewritten(query, {"User": "user", "Chat": "chat", "Known": "x"}, {"user", "chat", "Known", "x"}) == expected


@pytest.mark.parametrize(
    ("host", "ssl_enabled", "uri"),
    [
        ("localhost:3000", False, "http://localhost:3000"),
        ("localhost:3000", True, "https://localhost:3000"),
        ("http://localhost:3000", False, "http://localhost:3000"),
        ("https://testnet", False, "https://testnet"),
        ("ws://testnet", True, "https://testnet"),
    ],
)
def test_hosts(host, ssl_enabled, uri):
    assert uri_of(host, ssl_enabled=ssl_enabled) == uri


def test_arguments_by_two_names():
    @also_called(host="host_name")
    def connect(host_name, port=0):
        return host_name, port

    assert connect("a", 1) == connect(host_name="a", port=1) == connect(host="a", port=1) == ("a", 1)
    with pytest.raises(TypeError, match="multiple values"):
        connect("a", host="b")


# --- callbacks --------------------------------------------------------------------------------------------------------

AS_CALLED = [
    (lambda sender, address, status, message, text: None, 1),
    (lambda a, b, c, d, e: None, 1),
    (lambda who, addr, status, *rest: None, 1),
    (lambda *args: None, 1),
    (lambda a, b, c, d: None, 0),
    (lambda sender, sender_address, *, other=None: None, 0),
    (print, 1),
]
AS_IN_THE_README = [
    (lambda sender, status, message, text: None, 1),
    (lambda a, b, c, d: None, 1),
    (lambda sender, status, message, *args: None, 1),
    (lambda sender, status, message, text, more=None: None, 1),
    (lambda a, b, c: None, 0),
]


@pytest.mark.parametrize(
    ("callback", "args", "expected"),
    [(callback, args, True) for callback, args in AS_CALLED]
    + [(callback, args, False) for callback, args in AS_IN_THE_README],
)
def test_which_way_a_callback_is_written(callback, args, expected):
    assert takes_address(callback, args) is expected


class Chat:
    def said(self, sender, status, message, text):
        self.told = sender, status, message, text


def test_methods_are_callbacks_too():
    chat, told = Chat(), []
    event = legacy.ReducerEvent("me", "here", "say", "committed", "", ["hello"])
    call_reducer_callback(chat.said, event, event.args)
    assert chat.told == ("me", "committed", "", "hello")
    call_reducer_callback(lambda *args: told.append(args), event, event.args)
    assert told == [("me", "here", "committed", "", "hello")]


def test_a_function_without_a_signature_is_called_as_ever():
    class Odd:
        __signature__ = "none"

        def __call__(self, *args):
            pass

    assert takes_address(Odd(), 1)


def test_values_that_have_no_plain_form_pass():
    node = BOTH.node("OneEnumWithPayload")
    value = BOTH.python_type("EnumWithPayload").U8(1)
    assert to_plain(node, value) is value is from_plain(node, value)
    assert to_plain(BOTH.node("OneI32"), Some(1)) == Some(1)
    assert TimeDuration(5).micros == 5
