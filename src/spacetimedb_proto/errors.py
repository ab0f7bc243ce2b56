"""Every exception that leaves the SDK, in one tree.

::

    SpacetimeDBError
    ├── ConnectError               the connection was never established
    │   ├── AuthenticationError    401 or 403: the token was refused; or there was none to send
    │   ├── DatabaseNotFound       404: no such database
    │   ├── UnsupportedProtocol    400: no common WebSocket subprotocol
    │   └── ConnectionRefused      `client_connected` refused the client
    ├── ConnectionLost             an established connection ended
    ├── SubscriptionError          the server refused or ended a set of queries
    ├── QueryError                 a one-off query failed
    ├── RequestError               the server refused a request over HTTP, for a reason without a class of its own
    ├── CallError                  a call of a reducer or procedure did not return a value
    │   ├── ReducerError           the reducer refused or failed: nothing was committed
    │   ├── ProcedureError         the procedure failed
    │   ├── OutcomeUnknown         the call was sent; whether it ran nobody can tell
    │   ├── NotSent                the call never left this process
    │   ├── CallTimeout            no answer in time; the call may still run
    │   └── CallCancelled          this side gave the call up; it may still run
    ├── EncodeError (ValueError)   a value does not fit its declared type
    ├── DecodeError (ValueError)   bytes or text are not a value of their declared type
    ├── SchemaError                a module definition cannot be understood
    ├── ProtocolError
    │   ├── LocalProtocolError     this side asked for something illegal
    │   └── RemoteProtocolError    the peer broke the protocol or a limit; the session is dead
    ├── SchemaMismatch             bindings and server disagree about the module
    ├── IdentityChanged            a reconnect came back as somebody else
    ├── RecordingError             a file is no recording of a session
    ├── StreamOverflow             a stream's consumer was too slow for its buffer
    └── WaitTimeout (TimeoutError) a blocking wait ran out; what was waited for may still happen

Errors raised by sans-IO code never hold a token, and never the values of other users' rows.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AuthenticationError",
    "CallCancelled",
    "CallError",
    "CallTimeout",
    "ConnectError",
    "ConnectionLost",
    "ConnectionRefused",
    "DatabaseNotFound",
    "DecodeError",
    "EncodeError",
    "IdentityChanged",
    "LocalProtocolError",
    "NotSent",
    "OutcomeUnknown",
    "ProcedureError",
    "ProtocolError",
    "QueryError",
    "RecordingError",
    "ReducerError",
    "RemoteProtocolError",
    "RequestError",
    "SchemaError",
    "SchemaMismatch",
    "SpacetimeDBError",
    "StreamOverflow",
    "SubscriptionError",
    "UnsupportedProtocol",
    "WaitTimeout",
]


class SpacetimeDBError(Exception):
    """The root of everything that the SDK raises on purpose."""


class ConnectError(SpacetimeDBError):
    """The connection could not be established.

    Attributes:
        status: HTTP status of the answer to the handshake or schema request, or None when there was no answer.
        body: Text of that answer, shortened, or an empty string.
    """

    def __init__(self, message: str, *, status: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class AuthenticationError(ConnectError):
    """The server refused the token (401) or this identity (403), or there was no token that could be sent.

    Then nothing was sent, and `status` is None.
    """


class DatabaseNotFound(ConnectError):
    """The server knows no database of that name or identity (404)."""


class UnsupportedProtocol(ConnectError):
    """Client and server have no WebSocket subprotocol in common (400)."""


class ConnectionRefused(ConnectError):
    """The connection was dropped before its first message: the module's `client_connected` refused it.

    The server sends no reason over WebSocket (protocol reference, 1.6).
    """


class ConnectionLost(SpacetimeDBError):
    """An established connection ended without being closed by this side.

    Attributes:
        code: The WebSocket close code; 1006 when the link ended without a Close frame.
        reason: The text of the Close frame, or what the transport reported.
    """

    def __init__(self, message: str, *, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class SubscriptionError(SpacetimeDBError):
    """The server refused a set of queries, or ended it while it was live; the text is the server's."""


class QueryError(SpacetimeDBError):
    """A one-off query failed; the text is the server's."""


class RequestError(SpacetimeDBError):
    """The server, or a proxy before it, answered a request over HTTP with an error that has no class of its own.

    Attributes:
        status: The HTTP status, or None where there was no answer.
        body: Text of the answer, shortened.
    """

    def __init__(self, message: str, *, status: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class CallError(SpacetimeDBError):
    """A call of a reducer or procedure ended without a value.

    Attributes:
        function: Name of the reducer or procedure.
    """

    def __init__(self, message: str, *, function: str = "") -> None:
        super().__init__(message)
        self.function = function


class ReducerError(CallError):
    """The reducer refused, panicked, or could not be called. Nothing was committed; the text is the server's."""


class ProcedureError(CallError):
    """The procedure failed. What it committed before failing stays committed; the text is the server's."""


class OutcomeUnknown(CallError):
    """The call was sent and the connection ended before its answer: it may have run. Never resent by itself."""


class NotSent(CallError):
    """The call never left this process, so it is safe to try it again."""


class CallTimeout(CallError):
    """No answer came in time. The message says whether the call was sent: if it was, it may still run."""


class CallCancelled(CallError):
    """This side gave the call up. The message says whether it was sent: if it was, it may still run."""


class EncodeError(SpacetimeDBError, ValueError):
    """A value does not fit the type it should be encoded as.

    The message names the place (`argument.field[3]`), the expected type and the value.

    Attributes:
        expected: The expected type, in words.
        path: Field names and indexes from the outside in.
    """

    def __init__(self, expected: str, got: str, path: Sequence[str | int] = ()) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got
        self.path: list[str | int] = list(path)

    def within(self, step: str | int) -> EncodeError:
        """Put one more step in front of the path, and return the error itself."""
        self.path.insert(0, step)
        return self

    def __str__(self) -> str:
        where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.path).lstrip(".")
        complaint = f"expected {self.expected}, got {self.got}"
        return f"{where}: {complaint}" if where else complaint

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[type[EncodeError], tuple[str, str, list[str | int]]]:
        """Copies and pickles keep the place, which is not among `args`."""
        return type(self), (self.expected, self.got, self.path)


class DecodeError(SpacetimeDBError, ValueError):
    """Bytes or text are not a value of the type they should be."""


class SchemaError(SpacetimeDBError):
    """A module definition is malformed; the message says where."""


class ProtocolError(SpacetimeDBError):
    """The protocol was broken; the subclass says by whom."""


class LocalProtocolError(ProtocolError):
    """This side asked for something that is illegal in the present state. Nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal, undecodable, or over a limit. The session is dead for good."""


class SchemaMismatch(SpacetimeDBError):
    """Bindings and server disagree about the module; the message lists each difference."""


class IdentityChanged(SpacetimeDBError):
    """A reconnect was answered with another identity than before."""


class RecordingError(SpacetimeDBError):
    """A file is no recording of a session, or is broken before its last line."""


class StreamOverflow(SpacetimeDBError):
    """A stream's consumer fell behind by more than its buffer holds."""


class WaitTimeout(SpacetimeDBError, TimeoutError):
    """A blocking wait ran out of time. What was waited for goes on, and may still happen."""
