"""What operations give: small values, read from the JSON of answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from ..bsatn.codec import Types
from ..bsatn.types import IDENTITY
from ..bsatn.values import Identity, TimeDuration
from ..errors import DecodeError, RemoteProtocolError, SchemaError
from ..http import HttpResponse
from ..schema.reader import Node, Struct

__all__ = ["CallResult", "DatabaseInfo", "NewIdentity", "PublishPlan", "Published", "parsed", "reading"]

T = TypeVar("T")

_IDENTITY = Types(()).codec(IDENTITY)


@attrs.frozen
class NewIdentity:
    """An identity that the server has made.

    Attributes:
        identity: Who that is.
        token: The only way to be that again. Never shown.
    """

    identity: Identity
    token: str = attrs.field(repr=False)


@attrs.frozen
class DatabaseInfo:
    """What everybody may know of a database.

    Attributes:
        identity: Its identity.
        owner: Whose it is.
        host_type: `Wasm` or `Js`.
        program_hash: Hash of its first program, as 64 hex digits.
    """

    identity: Identity
    owner: Identity
    host_type: str
    program_hash: str


@attrs.frozen
class Published:
    """A database that was published.

    Attributes:
        name: Its name, or None if it has none.
        identity: Its identity.
        is_new: Whether it was created; otherwise its module was updated.
    """

    name: str | None
    identity: Identity
    is_new: bool


@attrs.frozen
class PublishPlan:
    """What publishing a program would do to a database that is there.

    Attributes:
        is_possible: Whether rows can stay: otherwise only `clear=True` publishes it.
        text: What would change, or why the rows cannot stay, for people.
        breaks_clients: Whether present clients would be ended, which `publish(..., break_clients=plan.token)` allows.
        is_major_upgrade: Whether the program is for another major version of the server's than the present one.
        token: Stands for exactly this plan; empty if it is not possible. It is no secret.
    """

    is_possible: bool
    text: str
    breaks_clients: bool = False
    is_major_upgrade: bool = False
    token: str = ""


@attrs.frozen
class CallResult:
    """A reducer that has run and whose changes are committed.

    Attributes:
        function: Its name.
        energy: Energy that it used, or None if the server does not say.
        duration: Time that it took on the server, or None likewise.
    """

    function: str
    energy: int | None = None
    duration: TimeDuration | None = None

    @classmethod
    def of(cls, response: HttpResponse, function: str) -> CallResult:
        """Read the headers of an answer."""
        micros = _number(response.header("spacetime-execution-duration-micros"))
        duration = None if micros is None else TimeDuration(micros)
        return cls(function, _number(response.header("spacetime-energy-used")), duration)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and text.isascii() and len(text) < 19 else None


def reading(what: str, read: Callable[[Node], T], response: HttpResponse) -> T:
    """Read the JSON of an answer.

    Raises:
        RemoteProtocolError: It is no JSON, or other than it should be; the message says where.
    """
    try:
        return read(Node(parsed(response.body)))
    except (SchemaError, DecodeError) as error:
        raise RemoteProtocolError(f"{what}: the answer cannot be understood: {error}") from error


def parsed(body: bytes) -> Any:
    """JSON as Python has it; integers of any size are exact.

    Raises:
        DecodeError: It is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        # Not only JSONDecodeError: bytes may be no text, and Python refuses to read numbers of thousands of digits.
        raise DecodeError(f"not JSON: {error}") from None


def read_new_identity(node: Node) -> NewIdentity:
    """The answer to a new identity."""
    fields = node.struct(("identity", "token"))
    return NewIdentity(Identity.from_hex(fields["identity"].text()), fields["token"].text())


def read_database(node: Node) -> DatabaseInfo:
    """What a database is."""
    fields = node.struct(("database_identity", "owner_identity", "host_type", "initial_program"))
    return DatabaseInfo(
        identity=_IDENTITY.from_json(fields["database_identity"].value),
        owner=_IDENTITY.from_json(fields["owner_identity"].value),
        host_type=fields["host_type"].variant(("Wasm", "Js"))[0],
        program_hash=fields["initial_program"].text().removeprefix("0x"),
    )


def read_published(node: Node) -> Published:
    """The answer to a publication."""
    variant, payload = node.variant(("Success",))
    if variant != "Success":
        raise node.fail("a success", variant)
    fields = payload.struct(("domain", "database_identity", "op"))
    domain = fields["domain"]
    return Published(
        name=None if domain.value is None else domain.text(),
        identity=Identity.from_hex(fields["database_identity"].text()),
        is_new=fields["op"].text() == "created",
    )


def read_plan(node: Node) -> PublishPlan:
    """What a publication would do."""
    variant, payload = node.variant(("AutoMigrate", "ManualMigrate"))
    if variant == "ManualMigrate":
        fields = payload.struct(("reason", "major_version_upgrade"))
        return PublishPlan(
            is_possible=False, text=fields["reason"].text(), is_major_upgrade=_flag(fields, "major_version_upgrade")
        )
    if variant != "AutoMigrate":
        raise node.fail("a plan", variant)
    fields = payload.struct(("migrate_plan", "break_clients", "token", "major_version_upgrade"))
    return PublishPlan(
        is_possible=True,
        text=fields["migrate_plan"].text(),
        breaks_clients=fields["break_clients"].boolean(),
        is_major_upgrade=_flag(fields, "major_version_upgrade"),
        token=fields["token"].text(),
    )


def _flag(fields: Struct, name: str) -> bool:
    """Older servers do not have all of them."""
    node = fields.get(name)
    return node is not None and node.boolean()


def read_named(node: Node) -> None:
    """The answer to a new name."""
    variant, _ = node.variant(("Success",))
    if variant != "Success":
        raise node.fail("a success", variant)


def read_renamed(node: Node) -> None:
    """The answer to other names: the bare word, as an enum without payload is."""
    if node.value != "Success":
        read_named(node)


def read_identities(node: Node) -> tuple[Identity, ...]:
    """Databases of an owner."""
    return tuple(Identity.from_hex(each.text()) for each in node.struct(("identities",)).list("identities"))


def read_names(node: Node) -> tuple[str, ...]:
    """Names of a database."""
    return tuple(each.text() for each in node.struct(("names",)).list("names"))


def read_token(node: Node) -> str:
    """A token for the address of a WebSocket."""
    return node.struct(("token",))["token"].text()
