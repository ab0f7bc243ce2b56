"""What callbacks of 0.7 are told: who, from where, and what happened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from spacetimedb_proto.bsatn.values import ConnectionId
from spacetimedb_proto.bsatn.values import Identity as CoreIdentity

__all__ = ["Address", "DbEvent", "Identity", "ReducerEvent", "TransactionUpdateMessage"]


class Identity:
    """Who somebody is.

    Attributes:
        data: The 32 bytes, in the order in which they are printed.
    """

    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)

    @staticmethod
    def from_string(string: str | Identity) -> Identity:
        """Read the hex that servers print. An identity is one already: 0.7's reducers say it of their arguments."""
        return Identity(bytes.fromhex(str(string)))

    @staticmethod
    def from_bytes(data: bytes) -> Identity:
        """Make one of its bytes."""
        return Identity(data)

    @property
    def core(self) -> CoreIdentity:
        """The same as the SDK of today has it."""
        return CoreIdentity.from_hex(self.data.hex())

    def __str__(self) -> str:
        return self.data.hex()

    def __repr__(self) -> str:
        return f"Identity.from_string({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


class Address:
    """Which connection of somebody: what is a `ConnectionId` today.

    Attributes:
        data: The 16 bytes, in the order in which they are printed.
    """

    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)

    @staticmethod
    def from_string(string: str | Address) -> Address | None:
        """Read the hex that servers print; zeros stand for no connection, which is None."""
        return Address.from_bytes(bytes.fromhex(str(string)))

    @staticmethod
    def from_bytes(data: bytes) -> Address | None:
        """Make one of its bytes; zeros stand for no connection, which is None."""
        return Address(data) if any(data) else None

    @staticmethod
    def random() -> Address:
        """One that nobody else has."""
        return Address(os.urandom(16))

    @property
    def core(self) -> ConnectionId:
        """The same as the SDK of today has it."""
        return ConnectionId.from_hex(self.data.hex())

    def __str__(self) -> str:
        return self.data.hex()

    def __repr__(self) -> str:
        return f"Address.from_string({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


class DbEvent:
    """What happened to one row.

    Attributes:
        table_name: The table, by the name of its class.
        row_pk: What tells the row from others: the hex of its bytes.
        row_op: `"insert"`, `"delete"` or `"update"`.
        decoded_value: The row as it is now; None if it is gone.
        old_value: The row as it was; None if it is new.
    """

    def __init__(
        self, table_name: str, row_pk: str, row_op: str, decoded_value: Any = None, old_value: Any = None
    ) -> None:
        self.table_name = table_name
        self.row_pk = row_pk
        self.row_op = row_op
        self.decoded_value = decoded_value
        self.old_value = old_value


class ReducerEvent:
    """The reducer that caused something.

    v2 and v3 do not tell of other clients' reducers: then there is an event, but all that is not known is None.

    Attributes:
        caller_identity: Who called it.
        caller_address: From which connection; None if from none, as schedules do.
        reducer_name: The reducer.
        status: `"committed"`, `"failed"` or `"outofenergy"`.
        message: Why it failed, else an empty string.
        args: Its arguments, as `_decode_args` of its module reads them.
    """

    def __init__(
        self,
        caller_identity: Identity | None,
        caller_address: Address | None,
        reducer_name: str | None,
        status: str,
        message: str,
        args: Sequence[Any],
    ) -> None:
        self.caller_identity = caller_identity
        self.caller_address = caller_address
        self.reducer_name = reducer_name
        self.status = status
        self.message = message
        self.args = args


class TransactionUpdateMessage:
    """A transaction, as callbacks of `register_on_event` are told of it.

    Attributes:
        transaction_type: `"TransactionUpdate"`.
        reducer_event: What caused it.
        events: What happened to rows, by the class names of their tables.
    """

    transaction_type = "TransactionUpdate"

    def __init__(self, reducer_event: ReducerEvent, events: dict[str, list[DbEvent]]) -> None:
        self.reducer_event = reducer_event
        self.events = events

    @property
    def caller_identity(self) -> Identity | None:
        """Who called the reducer."""
        return self.reducer_event.caller_identity

    @property
    def status(self) -> str:
        """How the reducer ended."""
        return self.reducer_event.status

    @property
    def message(self) -> str:
        """Why the reducer failed."""
        return self.reducer_event.message

    @property
    def reducer(self) -> str | None:
        """The reducer."""
        return self.reducer_event.reducer_name

    @property
    def args(self) -> Sequence[Any]:
        """The reducer's arguments."""
        return self.reducer_event.args
