"""What the bindings stand between: the session underneath, and the loop, thread or frame that drives both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from spacetimedb_proto.cache import CachePolicy
from spacetimedb_proto.client import ClientSession

from .pending import Pending
from .streams import Stream
from .unread import Unread

if TYPE_CHECKING:
    from .engine import Engine
    from .tables import TableHandle

__all__ = ["Asked", "Host"]


class Asked(Protocol):
    """What the engine asks of the session underneath: `DurableConnection`, or what stands in for it in a test."""

    @property
    def session(self) -> ClientSession:
        """The rows, query sets and calls."""
        ...

    def subscribe(self, queries: Sequence[str], *, cache: CachePolicy, deadline: float) -> int:
        """Ask for a query set."""
        ...

    def unsubscribe(self, query_set_id: int) -> None:
        """Ask for its end."""

    def call_reducer(self, name: str, args: Any, *, deadline: float, retry: bool) -> int:
        """Call a reducer."""
        ...

    def call_procedure(self, name: str, args: Any, *, deadline: float, retry: bool) -> int:
        """Call a procedure."""
        ...

    def query(self, sql: str, *, deadline: float) -> int:
        """Ask a one-off query."""
        ...

    def cancel_call(self, request_id: int) -> bool:
        """Wait no longer for a call or query."""
        ...


class Host(Protocol):
    """What the engine needs of the loop, thread or frame that drives it.

    Attributes:
        few: Transactions of one row that may be told of in one step.
    """

    few: int

    def now(self) -> float:
        """The time, on the clock that the session underneath is driven by."""
        ...

    def check_caller(self) -> None:
        """Refuse a caller whose thread must not ask for anything.

        Raises:
            LocalProtocolError: It is another thread than the one that the connection belongs to.
        """

    def outcome(self, pending: Pending[Any], timeout: float | None) -> Any:
        """What a call returns: the outcome to come, or, on a host that waits, the outcome."""
        ...

    def table(self, engine: Engine, name: str) -> TableHandle:
        """Make the handle of a table."""
        ...

    def pending(self, what: str, report: Callable[[Exception, str], None]) -> Pending[Any]:
        """Make an outcome that this host's users can wait for."""
        ...

    def stream(self, what: str, unregister: Callable[[Stream[Any]], None], unread: Unread[Any]) -> Stream[Any]:
        """Make a stream that this host's users can read."""
        ...

    def wake(self) -> None:
        """Something may be waiting to be sent."""
        ...
