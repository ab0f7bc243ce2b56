"""Between the messages of v1 and those of v2.

v1 says less about where rows belong (nothing) and more about who caused a transaction; `messages.py` can say both. What
v1 cannot say at all is refused here, as this side's mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..bsatn.values import TimeDuration
from ..errors import DecodeError, LocalProtocolError
from ..schema.model import Schema
from . import messages as m
from . import v1_messages as v1
from .rowlist import RowList

__all__ = ["Translation"]

SHARED: Final = 0
"""Query set id of updates that name none."""

NO_REDUCER: Final = 0xFFFF_FFFF
"""What v1 says for the id of a reducer that does not exist."""

FIRST_TABLE: Final = 4096
"""The least id of a module's table; this side gives them in the order of the schema, and reads none."""

_NONE: Final = TimeDuration(0)
_NO_ROWS: Final = RowList.of([])


class Translation:
    """Translates for one connection.

    Args:
        schema: The module's definition.
        in_rows: Makes a `RowList` of a table's rows as v1 has them.
        out_rows: The reverse; also told whether they are of a snapshot, rather than of a transaction.
    """

    def __init__(
        self,
        schema: Schema,
        in_rows: Callable[[str, v1.Rows], RowList],
        out_rows: Callable[[str, RowList, bool], v1.Rows],
    ) -> None:
        self._schema = schema
        self._in = in_rows
        self._out = out_rows
        self._table_ids = {name: FIRST_TABLE + index for index, name in enumerate(schema.tables)}
        # v1's answers repeat what was asked, v2's do not: what a server's side has read and not answered yet.
        self._message_ids: dict[int, bytes] = {}
        self._calls: dict[int, m.CallReducer] = {}
        self._connection: m.InitialConnection | None = None

    # --- up: server ---------------------------------------------------------------------------------------------------

    def up_server(self, message: v1.ServerMessage) -> m.ServerMessage:  # noqa: C901 - a table, one line per message
        """A server's message as one of v2."""
        match message:
            case v1.TransactionUpdateLight():
                return self._update(message.update)
            case v1.TransactionUpdate():
                return self._reducer_update(message)
            case v1.IdentityToken():
                return m.InitialConnection(message.identity, message.connection_id, message.token)
            case v1.UnsubscribeMultiApplied():
                rows = self._rows(message.update, leaving=True)
                return m.UnsubscribeApplied(message.request_id, message.query_id, rows)
            case v1.SubscribeMultiApplied():
                return m.SubscribeApplied(message.request_id, message.query_id, self._rows(message.update))
            case v1.UnsubscribeApplied():
                rows = self._rows(v1.DatabaseUpdate([message.rows.table_rows]), leaving=True)
                return m.UnsubscribeApplied(message.request_id, message.query_id, rows)
            case v1.SubscribeApplied():
                rows = self._rows(v1.DatabaseUpdate([message.rows.table_rows]))
                return m.SubscribeApplied(message.request_id, message.query_id, rows)
            case v1.SubscriptionError():
                return m.SubscriptionError(message.request_id, message.query_id, message.error)
            case v1.OneOffQueryResponse():
                return self._query_result(message)
            case v1.ProcedureResult():
                return self._procedure_result(message)
            case v1.InitialSubscription():
                return m.ReplacedSubscription(message.request_id, self._rows(message.database_update))

    def _update(self, update: v1.DatabaseUpdate) -> m.TransactionUpdate:
        tables = [
            m.TableUpdate(
                table.table_name,
                [
                    m.PersistentTableRows(self._in(table.table_name, q.inserts), self._in(table.table_name, q.deletes))
                    for q in table.updates
                ],
            )
            for table in update.tables
        ]
        return m.TransactionUpdate([m.QuerySetUpdate(SHARED, tables)])

    def _rows(self, update: v1.DatabaseUpdate, *, leaving: bool = False) -> m.QueryRows:
        rows: list[m.SingleTableRows] = []
        for table in update.tables:
            for q in table.updates:
                moved, other = (q.deletes, q.inserts) if leaving else (q.inserts, q.deletes)
                if len(other):
                    wrong = "inserts" if leaving else "deletes"
                    raise DecodeError(f"rows of a subscription: expected no {wrong}, got {len(other)}")
                rows.append(m.SingleTableRows(table.table_name, self._in(table.table_name, moved)))
        return m.QueryRows(rows)

    def _reducer_update(self, message: v1.TransactionUpdate) -> m.ReducerUpdate:
        info = message.reducer_call
        call = m.ReducerCall(
            info.reducer_name,
            info.request_id,
            info.args,
            message.caller_identity,
            message.caller_connection_id,
            message.timestamp,
        )
        match message.status:
            case v1.DatabaseUpdate() as update:
                return m.ReducerUpdate(call, self._update(update), None)
            case v1.Failed(error):
                return m.ReducerUpdate(call, m.TransactionUpdate([]), error)
            case v1.OutOfEnergy():
                return m.ReducerUpdate(call, m.TransactionUpdate([]), "reducer ran out of energy")

    def _query_result(self, message: v1.OneOffQueryResponse) -> m.OneOffQueryResult:
        request_id = _request_id(message.message_id)
        if message.error is not None:
            return m.OneOffQueryResult(request_id, message.error)
        tables = [
            m.SingleTableRows(table.table_name, self._in(table.table_name, table.rows)) for table in message.tables
        ]
        return m.OneOffQueryResult(request_id, m.QueryRows(tables))

    @staticmethod
    def _procedure_result(message: v1.ProcedureResult) -> m.ProcedureResult:
        status: m.ProcedureReturned | m.ProcedureInternalError
        match message.status:
            case v1.Returned(value):
                status = m.ProcedureReturned(value)
            case v1.Failed(error):
                status = m.ProcedureInternalError(error)
            case v1.OutOfEnergy():
                status = m.ProcedureInternalError("procedure ran out of energy")
        return m.ProcedureResult(status, message.timestamp, message.total_host_execution_duration, message.request_id)

    # --- up and down: client ------------------------------------------------------------------------------------------

    def up_client(self, message: v1.ClientMessage) -> m.ClientMessage:
        """A client's message as one of v2."""
        match message:
            case v1.CallReducer():
                return self._up_call(message)
            case v1.CallProcedure():
                _check_flags(message.flags, 0)
                return m.CallProcedure(message.request_id, message.flags, message.procedure, message.args)
            case v1.SubscribeSingle():
                return m.SubscribeSingle(message.request_id, message.query_id, [message.query])
            case v1.SubscribeMulti():
                return m.Subscribe(message.request_id, message.query_id, message.query_strings)
            case v1.Unsubscribe():
                return m.UnsubscribeSingle(message.request_id, message.query_id)
            case v1.UnsubscribeMulti():
                return m.Unsubscribe(message.request_id, message.query_id)
            case v1.OneOffQuery():
                return self._up_query(message)
            case v1.Subscribe():
                return m.ReplaceSubscription(message.request_id, message.query_strings)

    def _up_call(self, message: v1.CallReducer) -> m.CallReducer:
        _check_flags(message.flags, 1)
        call = m.CallReducer(message.request_id, message.flags, message.reducer, message.args)
        self._calls[message.request_id] = call
        return call

    def _up_query(self, message: v1.OneOffQuery) -> m.OneOffQuery:
        request_id = _request_id(message.message_id)
        self._message_ids[request_id] = message.message_id
        return m.OneOffQuery(request_id, message.query_string)

    @staticmethod
    def down_client(message: m.ClientMessage) -> v1.ClientMessage:
        """A client's message as one of v1."""
        match message:
            case m.CallReducer():
                return v1.CallReducer(message.reducer, message.args, message.request_id, message.flags)
            case m.CallProcedure():
                return v1.CallProcedure(message.procedure, message.args, message.request_id, message.flags)
            case m.SubscribeSingle(request_id, query_id, [query]):
                return v1.SubscribeSingle(query, request_id, query_id)
            case m.UnsubscribeSingle():
                return v1.Unsubscribe(message.request_id, message.query_set_id)
            case m.Subscribe():
                return v1.SubscribeMulti(message.query_strings, message.request_id, message.query_set_id)
            case m.Unsubscribe():
                return v1.UnsubscribeMulti(message.request_id, message.query_set_id)
            case m.OneOffQuery():
                return v1.OneOffQuery(message.request_id.to_bytes(4, "little"), message.query_string)
            case m.ReplaceSubscription():
                return v1.Subscribe(message.query_strings, message.request_id)
            case m.SubscribeBatch():
                raise LocalProtocolError("v1 has no SubscribeBatch: subscribe one by one")

    # --- down: server -------------------------------------------------------------------------------------------------

    def down_server(self, message: m.ServerMessage) -> v1.ServerMessage:  # noqa: C901, PLR0912 - a table, as above
        """A server's message as one of v1, in the forms for sets of queries."""
        match message:
            case m.ReducerUpdate():
                return self._down_reducer_update(message)
            case m.LightUpdate():
                return v1.TransactionUpdateLight(message.request_id, self._down_update(message))
            case m.TransactionUpdate():
                return v1.TransactionUpdateLight(0, self._down_update(message))
            case m.InitialConnection():
                self._connection = message
                return v1.IdentityToken(message.identity, message.token, message.connection_id)
            case m.SingleApplied(request_id, query_id, m.QueryRows([table])):
                return v1.SubscribeApplied(request_id, 0, query_id, self._down_single(table, leaving=False))
            case m.SingleEnded(request_id, query_id, m.QueryRows([table])):
                return v1.UnsubscribeApplied(request_id, 0, query_id, self._down_single(table, leaving=True))
            case m.SubscribeApplied():
                rows = self._down_rows(message.rows, leaving=False)
                return v1.SubscribeMultiApplied(message.request_id, 0, message.query_set_id, rows)
            case m.UnsubscribeApplied():
                rows = self._down_rows(message.rows or m.QueryRows([]), leaving=True)
                return v1.UnsubscribeMultiApplied(message.request_id, 0, message.query_set_id, rows)
            case m.ReplacedSubscription():
                rows = self._down_rows(message.rows, leaving=False)
                return v1.InitialSubscription(rows, message.request_id, _NONE)
            case m.SubscriptionError():
                return v1.SubscriptionError(0, message.request_id, message.query_set_id, None, message.error)
            case m.OneOffQueryResult():
                return self._down_query_result(message)
            case m.ProcedureResult():
                return self._down_procedure_result(message)
            case m.ReducerResult():
                return self._down_reducer_update(self._told(message))
            case m.SubscribeBatchApplied():
                raise LocalProtocolError("v1 has no SubscribeBatchApplied")

    def _table(self, name: str, updates: list[v1.QueryUpdate]) -> v1.TableUpdate:
        rows = sum(len(update.inserts) + len(update.deletes) for update in updates)
        return v1.TableUpdate(self._table_ids.get(name, 0), name, rows, updates)

    def _down_table(self, part: m.SingleTableRows, *, leaving: bool) -> v1.TableUpdate:
        moved, none = self._out(part.table, part.rows, True), self._out(part.table, _NO_ROWS, True)
        update = v1.QueryUpdate(moved, none) if leaving else v1.QueryUpdate(none, moved)
        return self._table(part.table, [update])

    def _down_rows(self, rows: m.QueryRows, *, leaving: bool) -> v1.DatabaseUpdate:
        return v1.DatabaseUpdate([self._down_table(part, leaving=leaving) for part in rows.tables])

    def _down_single(self, part: m.SingleTableRows, *, leaving: bool) -> v1.SubscribeRows:
        table = self._down_table(part, leaving=leaving)
        return v1.SubscribeRows(table.table_id, table.table_name, table)

    def _down_update(self, update: m.TransactionUpdate) -> v1.DatabaseUpdate:
        tables: dict[str, list[v1.QueryUpdate]] = {}
        for table in (table for query_set in update.query_sets for table in query_set.tables):
            name = table.table_name
            updates = tables.setdefault(name, [])
            for rows in table.rows:
                if isinstance(rows, m.EventTableRows):
                    raise LocalProtocolError("v1 cannot carry the rows of event tables")
                updates.append(
                    v1.QueryUpdate(self._out(name, rows.deletes, False), self._out(name, rows.inserts, False))
                )
        return v1.DatabaseUpdate([self._table(name, updates) for name, updates in tables.items()])

    def _told(self, message: m.ReducerResult) -> m.ReducerUpdate:
        """The answer to a call as v1 gives it: with the call itself."""
        call, connection = self._calls.pop(message.request_id, None), self._connection
        if call is None or connection is None:
            raise LocalProtocolError(f"the client made no call {message.request_id}, or was not greeted yet")
        told = m.ReducerCall(
            call.reducer,
            call.request_id,
            call.args,
            connection.identity,
            connection.connection_id,
            message.timestamp,
        )
        match message.result:
            case m.ReducerOk(_, update):
                return m.ReducerUpdate(told, update, None)
            case m.ReducerOkEmpty():
                return m.ReducerUpdate(told, m.TransactionUpdate([]), None)
            case m.ReducerErr(error):
                return m.ReducerUpdate(told, m.TransactionUpdate([]), error[4:].decode(errors="replace"))
            case m.ReducerInternalError(text):
                return m.ReducerUpdate(told, m.TransactionUpdate([]), text)

    def _down_reducer_update(self, message: m.ReducerUpdate) -> v1.TransactionUpdate:
        call = message.call
        self._calls.pop(call.request_id, None)
        status = self._down_update(message.update) if message.error is None else v1.Failed(message.error)
        reducer_id = list(self._schema.reducers).index(call.reducer) if call.reducer in self._schema.reducers else None
        return v1.TransactionUpdate(
            status,
            call.timestamp,
            call.caller_identity,
            call.caller_connection_id,
            v1.ReducerCallInfo(
                call.reducer, NO_REDUCER if reducer_id is None else reducer_id, call.args, call.request_id
            ),
            v1.EnergyQuanta(0),
            _NONE,
        )

    def _down_query_result(self, message: m.OneOffQueryResult) -> v1.OneOffQueryResponse:
        message_id = self._message_ids.pop(message.request_id, None)
        if message_id is None:
            message_id = message.request_id.to_bytes(4, "little")
        if isinstance(message.result, str):
            return v1.OneOffQueryResponse(message_id, message.result, [], _NONE)
        tables = [v1.OneOffTable(part.table, self._out(part.table, part.rows, True)) for part in message.result.tables]
        return v1.OneOffQueryResponse(message_id, None, tables, _NONE)

    @staticmethod
    def _down_procedure_result(message: m.ProcedureResult) -> v1.ProcedureResult:
        status: v1.Returned | v1.Failed
        if isinstance(message.status, m.ProcedureReturned):
            status = v1.Returned(message.status.value)
        else:
            status = v1.Failed(message.status.error)
        return v1.ProcedureResult(status, message.timestamp, message.total_host_execution_duration, message.request_id)


def _request_id(message_id: bytes) -> int:
    """This side's message ids are request ids; other clients choose up to a GUID, and a server repeats theirs."""
    if len(message_id) > 16:
        raise DecodeError(f"message_id: expected at most 16 bytes, got {len(message_id)}")
    return int.from_bytes(message_id, "little")


def _check_flags(flags: int, most: int) -> None:
    if flags > most:
        raise DecodeError(f"flags: expected at most {most}, got {flags}")
