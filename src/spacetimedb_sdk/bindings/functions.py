"""Reducers and procedures as things that can be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from spacetimedb_proto.schema.model import Function

from .context import Context
from .listeners import Listener
from .names import Namespace
from .pending import seconds

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Procedure", "Procedures", "Reducer", "Reducers", "procedures_of", "reducers_of"]


class _Callable:
    def __init__(
        self, engine: Engine, function: Function, *, timeout: float | None = None, retry: bool = False
    ) -> None:
        self._engine = engine
        self._function = function
        self._timeout = timeout
        self._retry = retry

    @property
    def name(self) -> str:
        """Its name in the server's schema."""
        return self._function.name

    def options(self, *, timeout: float | None = None, retry: bool = False) -> Self:
        """The same function, to be called with patience or without: `conn.reducers.say.options(timeout=2)("hello")`.

        Args:
            timeout: Seconds until a call without an answer fails with `CallTimeout`; None waits for ever.
            retry: Whether a call that could not be sent, because there is no connection at the moment, waits for the
                next one. Without it such a call fails with `NotSent`. A call that was sent is never sent again.

        Raises:
            TypeError: `timeout` is no number.
            LocalProtocolError: It is less than nothing, or NaN.
        """
        seconds(timeout)
        return type(self)(self._engine, self._function, timeout=timeout, retry=retry)

    def _call(self, request: Callable[..., int], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Send a call through one of the session's commands; what stands only by position is checked there."""
        engine = self._engine
        if kwargs:
            args = engine.schema.params_codec(self._function).arrange(args, kwargs)
        deadline, retry = engine.deadline(self._timeout), self._retry
        what = f"{type(self).__name__.lower()} {self.name}"
        pending = engine.call(what, lambda: request(self.name, args, deadline=deadline, retry=retry))
        return engine.host.outcome(pending, self._timeout)

    def __repr__(self) -> str:
        params = ", ".join(param.name for param in self._function.params)
        return f"<{type(self).__name__.lower()} {self.name}({params})>"


class Reducer(_Callable):
    """A reducer. Calling it sends the call at once; the outcome is what the call returns."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the reducer, with arguments in declared order or by name.

        Returns:
            The outcome to come: a `ReducerEvent`, or a `ReducerError` with the server's text. Await it, or wait for it
            as the host does; unclaimed, a failure goes to the connection's `on_error`.

        Raises:
            EncodeError: An argument does not fit its parameter. Nothing is sent.
            TypeError: The wrong number of arguments. Nothing is sent.
            NotSent: There is no connection, or it is over.
        """
        return self._call(self._engine.core.call_reducer, args, kwargs)

    def on_outcome(self, callback: Callable[[Context], object]) -> Listener[Callable[[Context], object]]:
        """Call `callback(ctx)` for each outcome of this reducer that the server tells: `ctx.event` is a `ReducerEvent`.

        v2 and v3 tell only of this connection's own calls.
        """
        return self._engine.on_outcome(self.name, callback)


class Procedure(_Callable):
    """A procedure. Calling it sends the call at once; the outcome is what the call returns."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the procedure, with arguments in declared order or by name.

        Returns:
            The outcome to come: the procedure's return value, or a `ProcedureError`.

        Raises:
            EncodeError, TypeError, NotSent: As for reducers.
        """
        return self._call(self._engine.core.call_procedure, args, kwargs)


C = TypeVar("C", bound=_Callable)

Reducers: TypeAlias = Namespace[Reducer]
Procedures: TypeAlias = Namespace[Procedure]


def reducers_of(engine: Engine) -> Reducers:
    """The module's reducers that clients may call."""
    return _callables(engine, Reducer, engine.schema.reducers)


def procedures_of(engine: Engine) -> Procedures:
    """The module's procedures that clients may call."""
    return _callables(engine, Procedure, engine.schema.procedures)


def _callables(engine: Engine, kind: type[C], all_functions: Mapping[str, Function]) -> Namespace[C]:
    functions = {name: function for name, function in all_functions.items() if function.is_callable}
    aliases = {function.source_name: name for name, function in functions.items()}
    return Namespace(kind.__name__.lower(), functions, lambda name: kind(engine, functions[name]), aliases)
