"""`BlockingHttpClient`: the HTTP API for programs that wait, in as many threads as they like."""

from __future__ import annotations

import copy
import ssl as tls
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from spacetimedb_proto.backoff import Backoff
from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_proto.http_api import (
    CallResult,
    DatabaseInfo,
    LogLine,
    LogReader,
    NewIdentity,
    Operation,
    Published,
    PublishPlan,
)
from spacetimedb_proto.limits import Limits
from spacetimedb_proto.schema import Schema
from spacetimedb_transports.blocking_http import BlockingHttpLinks, BlockingHttpStream

from ..tokens import Token
from .batch import Arguments, Batch, CallReport, OnProgress, is_expected, split
from .core import Alone, AskToken, Effect, Exchange, Flow, Open, Pause
from .rows import SqlResult
from .settings import Settings

__all__ = ["BlockingHttpClient", "LogStream"]

T = TypeVar("T")


class LogStream(Iterator[LogLine]):
    """A log that is followed: `with client.follow_logs() as lines: for line in lines: ...`."""

    def __init__(self, open_stream: Callable[[], BlockingHttpStream]) -> None:
        self._open = open_stream
        self._stream: BlockingHttpStream | None = None
        self._reader = LogReader()
        self._lines: deque[LogLine] = deque()
        self._is_over = False

    def __next__(self) -> LogLine:
        """The next line, as soon as there is one. The stream ends when the server ends it.

        Raises:
            AuthenticationError: The log is not for this client.
            ConnectionLost: The connection ended.
        """
        while not self._lines:
            if self._is_over:
                raise StopIteration
            if self._stream is None:
                self._stream = self._open()
            data = self._stream.read()
            self._lines.extend(self._reader.receive_data(data))
            self._is_over = self._is_over or not data
        return self._lines.popleft()

    def close(self) -> None:
        """Follow it no more, also while another thread waits for a line. Twice does no harm."""
        self._is_over = True
        if self._stream is not None:
            self._stream.close()

    def __enter__(self) -> Self:
        self._stream = self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class BlockingHttpClient:
    """A client of one server and perhaps one of its databases, for programs that wait.

    Nothing is sent before a method is called. Threads may share a client.
    """

    def __init__(  # noqa: PLR0913 - each option is one that users name
        self,
        uri: str,
        database: str | None = None,
        *,
        token: Token | None = None,
        timeout: float = 30.0,
        connections: int = 10,
        retry: Backoff | None = None,
        proxy: str | bool = True,
        limits: Limits | None = None,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        """Make a client.

        Args:
            uri: Where the server is: `http`, `https`, `ws` or `wss`. TLS is verified.
            database: Name or identity of the database; what concerns none needs none.
            token: The token to send, or where it comes from, as for `connect`. Without one, a new identity is made when
                something is first done in somebody's name, and the client stays that.
            timeout: Seconds for each request, from waiting for a connection to the end of the answer.
            connections: Connections at most; more requests wait for their turn.
            retry: When to try again what cannot have been executed, because no connection came about. By default it
                is not tried again.
            proxy: True takes what the environment says (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), False
                takes none, and a text is the proxy's address.
            limits: What an untrusted server may cost.
            ssl: TLS settings; by default those of `ssl.create_default_context()`.

        Raises:
            ConnectError: The address, or that of the proxy, is none.
            LocalProtocolError: No connection is allowed.
        """
        settings = Settings(
            uri=uri,
            database=database,
            token=token,
            timeout=timeout,
            connections=connections,
            retry=retry,
            proxy=proxy,
            limits=limits,
            ssl=ssl,
        )
        self._core = settings.core()
        self._timeout = timeout
        self._limit = connections
        route = settings.route(self._core.api.endpoint)
        self._links = BlockingHttpLinks(route, ssl=ssl, limit=connections, size=self._core.api.limits.message_size)
        self._locks: dict[str, threading.Lock] = {}

    def options(self, *, timeout: float) -> Self:
        """The same client, with the same connections, of another patience: `client.options(timeout=300).call(...)`.

        Args:
            timeout: Seconds for each request.
        """
        other = copy.copy(self)
        other._timeout = timeout  # noqa: SLF001 - another of ours
        return other

    def close(self) -> None:
        """Close the client, and those that `options` gave, for good. What is under way is still answered.

        Asking for more raises `LocalProtocolError`. Logs that are followed have connections of their own, which stay.
        """
        self._core.close()
        self._links.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._core.api.database or 'no database'} at {self._core.api.endpoint}>"

    # --- rows and calls -----------------------------------------------------------------------------------------------

    def sql(self, statement: str, *, confirmed: bool | None = None) -> SqlResult:
        """Run one SQL statement, and give its rows: `rows = client.sql(sql("SELECT ... = {}", name))`.

        Rows of a whole table are of the same class as in the cache of a connection; other rows have the columns that
        the statement names.

        Args:
            statement: One statement. `spacetimedb_sdk.sql` puts values into it safely.
            confirmed: Whether to wait until what it sees or does is durable; None leaves that to the server.

        Raises:
            QueryError: The server refused it.
            OutcomeUnknown: The connection ended before there was an answer.
        """
        return self._run(self._core.sql(statement, confirmed=confirmed))

    def sql_all(self, *statements: str, confirmed: bool | None = None) -> list[SqlResult]:
        """Run several SQL statements one after the other, each in a transaction and a request of its own.

        Args:
            statements: SQL, one statement each.
            confirmed: As for `sql`.

        Raises:
            QueryError: The server refused one. Those before it stay done, those after it are not tried.
            OutcomeUnknown: The connection ended before there was an answer.
        """
        return [self.sql(statement, confirmed=confirmed) for statement in statements]

    def call(self, reducer: str, /, *args: Any, **kwargs: Any) -> CallResult:
        """Call a reducer: `client.call("send_message", "hello")`. When it returns, the changes are committed.

        Args:
            reducer: Its name.
            args: Arguments in declared order.
            kwargs: Arguments by name.

        Raises:
            ReducerError: The reducer refused or failed; nothing was committed.
            NotSent: There was no connection, so it is safe to try again.
            OutcomeUnknown: It was sent, and the connection ended before there was an answer.
            CallTimeout: There was no answer in time.
            EncodeError: An argument does not fit its parameter.
            TypeError: The wrong number of arguments.
            LocalProtocolError: There is no such reducer.
        """
        return self._run(self._core.reducer(reducer, args, kwargs))

    def procedure(self, procedure: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure, and give what it returns: `total = client.procedure("add", 1, 2)`.

        Args:
            procedure: Its name.
            args: Arguments in declared order.
            kwargs: Arguments by name.

        Raises:
            ProcedureError: It failed; what it committed before stays committed.
            SpacetimeDBError: As for `call`.
        """
        return self._run(self._core.procedure(procedure, args, kwargs))

    def call_many(
        self,
        reducer: str,
        calls: Iterable[Arguments],
        *,
        concurrency: int = 8,
        on_progress: OnProgress | None = None,
        stop_on_error: bool = False,
    ) -> CallReport:
        """Call a reducer many times, several at once, each in a transaction of its own and in no certain order.

        A call that may have run is never made again.

        Args:
            reducer: Its name.
            calls: The arguments of each call, in declared order or by name. They are taken as they are needed.
            concurrency: Calls under way at once, of which `connections` allows no more; 1 keeps the order.
            on_progress: Told after each call how many have ended.
            stop_on_error: Whether to make no more calls after the first that failed. What would fail all of them alike
                ends it in any case: no connection, a refused token, no such database or reducer.

        Returns:
            What has become of them. Failures are not raised; `report.check()` does.
        """
        batch = Batch(calls, on_progress, stop_on_error=stop_on_error)
        workers = self._workers(concurrency)
        under_way: dict[Future[None], tuple[int, Arguments]] = {}

        def call(arguments: Arguments) -> None:
            self._run(self._core.reducer(reducer, *split(arguments)))

        with ThreadPoolExecutor(workers, "spacetimedb calls") as threads:
            while True:
                while len(under_way) < workers and (given := batch.next()) is not None:
                    under_way[threads.submit(call, given[1])] = given
                if not under_way:
                    return batch.report()
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    failed = done.exception()
                    if failed is not None and not is_expected(failed):
                        raise failed
                    batch.ended(*under_way.pop(done), failed)

    # --- the database -------------------------------------------------------------------------------------------------

    def schema(self, *, refresh: bool = False) -> Schema:
        """The module definition. It is asked for once; rows and arguments are read and written by it.

        Args:
            refresh: Whether to ask again, as after a publication. A table whose rows look different does so by itself.
        """
        return self._run(self._core.schema(refresh=refresh))

    def info(self) -> DatabaseInfo:
        """The database's identity, its owner, and what runs it."""
        return self._do(self._core.api.info())

    def database_identity(self) -> Identity:
        """The identity behind the database's name."""
        return self._do(self._core.api.database_identity())

    def names(self) -> tuple[str, ...]:
        """The database's names."""
        return self._do(self._core.api.names())

    def logs(self, lines: int | None = None) -> list[LogLine]:
        """The last lines of the module's log, oldest first. Only the owner may read it.

        Args:
            lines: How many; None for all that the server still has.

        Raises:
            AuthenticationError: This client is not the owner.
        """
        return self._do(self._core.api.logs(lines))

    def follow_logs(self, lines: int | None = 0) -> LogStream:
        """Follow the module's log from now on, on a connection of its own.

        Args:
            lines: How many older lines come first; None for all that the server still has.
        """
        operation = self._core.api.logs(lines, follow=True)
        return LogStream(lambda: self._run(self._core.open(operation)))

    def add_name(self, name: str) -> None:
        """Give the database another name beside those it has.

        Raises:
            AuthenticationError: The database or the name is somebody else's.
            RequestError: The name is no good one, or taken.
        """
        self._do(self._core.api.add_name(name))

    def set_names(self, names: Sequence[str]) -> None:
        """Give the database these names and no others. A client that knows it by one that is gone finds it no more.

        Raises:
            AuthenticationError: The database is somebody else's.
            RequestError: A name is no good one, or taken.
        """
        self._do(self._core.api.set_names(names))

    def plan_publish(self, program: bytes, *, host_type: str | None = None) -> PublishPlan:
        """What `publish` would do to the database. Nothing is changed.

        Args:
            program: As for `publish`.
            host_type: As for `publish`.

        Raises:
            AuthenticationError: The database is somebody else's.
            DatabaseNotFound: There is none, so publishing would create it.
            RequestError: The program cannot be used.
        """
        return self._do(self._core.api.plan_publish(program, host_type=host_type))

    def publish(
        self,
        program: bytes,
        *,
        clear: bool = False,
        host_type: str | None = None,
        break_clients: str | None = None,
    ) -> Published:
        """Make the database run a program. Where there is no such database it is created, and this client owns it.

        Args:
            program: The module: WebAssembly or JavaScript.
            clear: Whether to drop all rows.
            host_type: `"Wasm"` or `"Js"`; None leaves it to the server, which expects WebAssembly.
            break_clients: The token of a plan that `breaks_clients`; without it, the server refuses such a program.

        Raises:
            AuthenticationError: The database is somebody else's.
            RequestError: The program cannot be used, or its tables do not fit the rows that are there.
            OutcomeUnknown: The connection ended before there was an answer.
        """
        return self._do(self._core.api.publish(program, clear=clear, host_type=host_type, break_clients=break_clients))

    def delete(self) -> None:
        """Delete the database and all its rows.

        Raises:
            AuthenticationError: It is somebody else's, or locked.
        """
        self._do(self._core.api.delete())

    # --- the server and identities ------------------------------------------------------------------------------------

    def ping(self) -> None:
        """See whether the server answers, and takes the token if there is one.

        Raises:
            ConnectError: It does not.
            AuthenticationError: It refuses the token.
        """
        self._do(self._core.api.ping())

    def create_identity(self) -> NewIdentity:
        """Make a new identity. The client itself stays who it is; keep the token, since there is no other."""
        return self._do(self._core.api.create_identity())

    def verify_identity(self, identity: Identity) -> bool:
        """Whether the client's token is this identity's."""
        return self._do(self._core.api.verify_identity(identity))

    def databases_of(self, identity: Identity) -> tuple[Identity, ...]:
        """The databases that an identity owns."""
        return self._do(self._core.api.databases_of(identity))

    def websocket_token(self) -> str:
        """A token that lives for a minute, for clients that must show theirs in an address, as browsers must."""
        return self._do(self._core.api.websocket_token())

    def public_key(self) -> str:
        """The key that the server signs tokens with, as PEM."""
        return self._do(self._core.api.public_key())

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _workers(self, concurrency: int) -> int:
        """Calls that may be under way: those without a connection would spend their time waiting for one."""
        return max(1, min(concurrency, self._limit))

    def _do(self, operation: Operation[T]) -> T:
        return self._run(self._core.do(operation))

    def _run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    reply = self._perform(effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            flow.close()

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Exchange(request, fresh):
                outcome = self._links.exchange(request, time=self._timeout, fresh=fresh)
                if self._core.is_closed:  # meanwhile, and nobody needs the connection any more
                    self._links.close()
                return outcome
            case Open(request):
                return self._links.open(request, time=self._timeout)
            case AskToken():
                return self._core.keeper.token_now(time.time())
            case Pause(seconds):
                return time.sleep(seconds)
            case Alone(name, flow):
                lock = self._locks.setdefault(name, threading.Lock())
                with lock:
                    return self._run(flow)
