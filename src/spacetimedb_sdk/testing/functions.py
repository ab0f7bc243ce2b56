"""The functions of a module at work: how they are called, and what comes of it.

Each call is one transaction, but views change nothing. Texts of failures are the real server's (protocol reference,
3.5). Nothing here knows clients or messages.
"""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp
from spacetimedb_proto.errors import CallError, DecodeError, ReducerError
from spacetimedb_proto.schema.definitions import Function

from .call_bsatn import read_bsatn
from .call_json import ArgumentError, read_arguments
from .chance import Chance
from .context import ReducerContext, Tables
from .declarations import Lifecycle, ModuleFunction
from .logs import Log
from .module import Module
from .queries import compile_query
from .sql import SqlError
from .storage import Changes, Rows, Storage, TableStorage
from .views import AnonymousViewContext, Query, ViewContext

__all__ = ["Caller", "Failure", "Fault", "Functions", "Success"]

logger = logging.getLogger("spacetimedb_sdk.testing")

T = TypeVar("T")

FATAL: Final = "The instance encountered a fatal error."
"""All that a client learns about a fault in the module (protocol reference, 3.5)."""

PROCEDURE_FATAL: Final = "The module instance encountered a fatal error: see the log of the database"
"""The same of a procedure, where the real server tells addresses in the module's code after the colon."""


@attrs.frozen
class Caller:
    """On whose behalf a function runs.

    Attributes:
        identity: Who it is.
        connection_id: On which connection, or None for the server itself.
        is_owner: Whether it may also call what only the server calls.
    """

    identity: Identity
    connection_id: ConnectionId | None
    is_owner: bool = False


class Fault(enum.Enum):
    """Why a call did nothing."""

    MISSING = "there is no such function"
    UNCALLABLE = "only the server calls it"
    ARGUMENTS = "it does not take such arguments"
    REFUSED = "the function raised ReducerError"
    FATAL = "the function raised something else"


@attrs.frozen
class Failure:
    """A call that did nothing.

    Attributes:
        fault: Why.
        text: What a client is told in v2 and v3.
        causes: What it is told besides in v1 and over HTTP.
    """

    fault: Fault
    text: str
    causes: tuple[str, ...] = ()

    @property
    def full_text(self) -> str:
        """The text with all causes."""
        return ": ".join((self.text, *self.causes))


@attrs.frozen
class Success:
    """A call that has been committed.

    Attributes:
        changes: What it did, by table.
        value: What a procedure returned: BSATN, or JSON text where the arguments were JSON; None for a reducer.
    """

    changes: Mapping[str, Changes]
    value: bytes | str | None = None


class Functions:
    """What can be called in one database.

    Args:
        module: What defines it.
        storage: The rows that it works on.
        log: Where its faults are told.
        chance: Where its random numbers come from.
    """

    def __init__(self, module: Module, storage: Storage, log: Log, chance: Chance) -> None:
        self._module = module
        self._schema = storage.schema
        self._storage = storage
        self._tables = Tables(storage)
        self._log = log
        self._chance = chance

    def run(self, function: Callable[[ReducerContext], T], caller: Caller, now: Timestamp) -> tuple[T, Success]:
        """Run any function like a reducer; raises what it raises."""
        with self._storage.transaction() as changes:
            result = function(self._context(None, caller, now))
        return result, Success(changes)

    def lifecycle(self, when: Lifecycle, caller: Caller, now: Timestamp) -> Success:
        """Run the reducer for an event of the server's, if there is one; raises what it raises."""
        function = self._module.lifecycle(when)
        with self._storage.transaction() as changes:
            if function is not None:
                self._call(function, caller, now)
        return Success(changes)

    def reducer(self, name: str, args: bytes | str, caller: Caller, now: Timestamp) -> Success | Failure:
        """Call a reducer.

        Args:
            name: Its name.
            args: Its arguments, as BSATN or JSON text.
            caller: Who calls.
            now: What time it is.
        """
        definition = self._schema.reducers.get(name)
        if definition is None or not _may_call(caller, definition):
            return self._missing("reducer", name, "no such reducer")
        if definition.lifecycle is not None:
            text = f"can't directly call special {definition.lifecycle} lifecycle reducer"
            return Failure(Fault.UNCALLABLE, text)
        try:
            values = self._arguments(definition, args)
        except DecodeError as error:
            return self._wrong_arguments("reducer", name, error)
        try:
            with self._storage.transaction() as changes:
                self._call(self._module.functions[name], caller, now, values)
        except ReducerError as error:
            self._log.host(name, str(error))
            return Failure(Fault.REFUSED, str(error))
        except Exception as error:
            return self._fatal("reducer", name, error)
        return Success(changes)

    def procedure(self, name: str, args: bytes | str, caller: Caller, now: Timestamp) -> Success | Failure:
        """Call a procedure; arguments as for `reducer`."""
        definition = self._schema.procedures.get(name)
        if definition is None or not _may_call(caller, definition):
            return self._missing("procedure", name, "No such procedure")
        try:
            values = self._arguments(definition, args)
        except DecodeError as error:
            return self._wrong_arguments("procedure", name, error)
        try:
            with self._storage.transaction() as changes:
                value = self._call(self._module.functions[name], caller, now, values)
                returned = self._returned(definition, value, as_json=isinstance(args, str))
        except CallError as error:
            self._log.host(name, str(error))
            return Failure(Fault.REFUSED, str(error))
        except Exception as error:
            return self._fatal("procedure", name, error)
        return Success(changes, returned)

    def scheduled(self, table: TableStorage, data: bytes, caller: Caller, now: Timestamp, *, last: bool) -> Success:
        """Call what a row of a scheduled table asks for. After the last time the row goes, whatever came of it.

        Args:
            table: The table.
            data: The row.
            caller: Who calls.
            now: What time it is.
            last: Whether it is the last time.
        """
        assert table.definition.schedule is not None
        function = self._module.functions[table.definition.schedule.function]
        row = table.codec.decode_exact(data)
        try:
            with self._storage.transaction() as changes:
                self._call(function, caller, now, (row,))
                if last:
                    table.delete(row)
        except Exception as error:
            if isinstance(error, CallError):
                self._log.host(function.name, str(error))
            else:
                self._fatal("scheduled function", function.name, error)
            with self._storage.transaction() as changes:
                if last:
                    table.delete(row)
        return Success(changes)

    def view(self, name: str, sender: Identity) -> Rows:
        """The rows of a view as of now.

        Args:
            name: Its name.
            sender: Whose view it is.

        Raises:
            SqlError: It failed.
        """
        view = self._module.views[name]
        context = AnonymousViewContext(self._tables) if view.is_anonymous else ViewContext(self._tables, sender)
        try:
            with self._storage.only_read():
                return self._view_rows(name, view.call(context), sender)
        except Exception as error:
            self._fatal("view", name, error)
            raise SqlError("Internal error evaluating queries") from error

    def _view_rows(self, name: str, result: Any, sender: Identity) -> Rows:
        codec = self._schema.row_codec(name)
        if isinstance(result, Query):
            query = compile_query(result.sql, self._schema, sender, sees_all=True)
            if query.table.row != self._schema.tables[name].row:
                raise TypeError(f"{name}(): the query is of rows of `{query.table.name}`, which are of another class")
            rows = query.rows(self._storage)
        else:
            shape = self._schema.tables[name].view
            is_list = shape is not None and shape.shape == "array"
            rows = [codec.encode(row) for row in (result if is_list else [] if result is None else [result])]
        return {data: codec.decode_exact(data) for data in rows}

    # --- failures -----------------------------------------------------------------------------------------------------

    def _missing(self, kind: str, name: str, text: str) -> Failure:
        told = f'External attempt to call nonexistent {kind} "{name}" failed.'
        self._log.host(name, f"{told} Have you run `spacetime generate` recently?")
        return Failure(Fault.MISSING, text)

    def _wrong_arguments(self, kind: str, name: str, error: DecodeError) -> Failure:
        told = f'External attempt to call {kind} "{name}" failed, invalid arguments.\n'
        advice = "This is likely due to a mismatched client schema, have you run `spacetime generate` recently?"
        self._log.host(name, told + advice)
        causes = error.causes if isinstance(error, ArgumentError) else ()
        first = f"invalid arguments for {kind} {name}: {error}"
        return Failure(Fault.ARGUMENTS, first, (f"invalid arguments for function {name}: {error}", str(error), *causes))

    def _fatal(self, kind: str, name: str, error: Exception) -> Failure:
        self._log.panic(name, error)
        logger.error("%s: the %s %s failed", self._module.name, kind, name, exc_info=error)
        return Failure(Fault.FATAL, PROCEDURE_FATAL if kind == "procedure" else FATAL)

    # --- the call itself ----------------------------------------------------------------------------------------------

    def _arguments(self, definition: Function, data: bytes | str) -> tuple[Any, ...]:
        if isinstance(data, bytes):
            return read_bsatn(self._schema, definition, data)
        return read_arguments(self._schema, definition, data)

    def _returned(self, definition: Function, value: Any, *, as_json: bool) -> bytes | str:
        codec = self._schema.return_codec(definition)
        data = codec.encode(value)
        return json.dumps(codec.tell_json(codec.decode_exact(data)), separators=(",", ":")) if as_json else data

    def _call(self, function: ModuleFunction, caller: Caller, now: Timestamp, args: tuple[Any, ...] = ()) -> Any:
        return function.call(self._context(function.name, caller, now), *args)

    def _context(self, name: str | None, caller: Caller, now: Timestamp) -> ReducerContext:
        def write(level: Any, message: str) -> None:
            self._log.module(level, self._module.name, name, message)

        return ReducerContext(caller.identity, caller.connection_id, now, self._tables, write, self._chance)


def _may_call(caller: Caller, function: Function) -> bool:
    """Private functions are not there for others; lifecycle reducers are refused in words of their own."""
    return function.is_callable or function.lifecycle is not None or caller.is_owner
