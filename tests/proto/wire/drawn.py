"""Hypothesis strategies for the messages of `messages.py`, as peers of each protocol could send them."""

from __future__ import annotations

from hypothesis import strategies as st

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, TimeDuration, Timestamp
from spacetimedb_proto.wire import messages as m
from spacetimedb_proto.wire.rowlist import RowList

__all__ = ["v1_client", "v1_server", "v2_client", "v2_server"]

u32 = st.integers(0, 2**32 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=8)
queries = st.lists(texts, max_size=3)
blobs = st.binary(max_size=8)
timestamps = st.builds(Timestamp, i64)
durations = st.builds(TimeDuration, i64)
identities = st.builds(Identity, st.binary(min_size=32, max_size=32))
connection_ids = st.builds(ConnectionId, st.binary(min_size=16, max_size=16))

row_lists = st.builds(RowList.of, st.lists(st.binary(max_size=5), max_size=4))
query_rows = st.builds(m.QueryRows, st.lists(st.builds(m.SingleTableRows, texts, row_lists), max_size=3))
persistent = st.builds(m.PersistentTableRows, row_lists, row_lists)
events = st.builds(m.EventTableRows, row_lists)


def updates(
    rows: st.SearchStrategy[object], ids: st.SearchStrategy[int] = u32
) -> st.SearchStrategy[m.TransactionUpdate]:
    tables = st.builds(m.TableUpdate, texts, st.lists(rows, max_size=2))
    return st.builds(
        m.TransactionUpdate, st.lists(st.builds(m.QuerySetUpdate, ids, st.lists(tables, max_size=2)), max_size=2)
    )


def calls(cls: type, flags: st.SearchStrategy[int], args: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.builds(cls, u32, flags, texts, args)


def _client(flags: st.SearchStrategy[int], args: st.SearchStrategy[object]) -> list[st.SearchStrategy[object]]:
    return [
        st.builds(m.Subscribe, u32, u32, queries),
        st.builds(m.OneOffQuery, u32, texts),
        calls(m.CallReducer, flags, args),
        calls(m.CallProcedure, flags, args),
    ]


def _procedures(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    status = st.builds(m.ProcedureReturned, values) | st.builds(m.ProcedureInternalError, texts)
    return st.builds(m.ProcedureResult, status, timestamps, durations, u32)


# --- v2 and v3 --------------------------------------------------------------------------------------------------------

v2_client = st.one_of(
    *_client(st.just(0), blobs),
    st.builds(m.Unsubscribe, u32, u32, st.booleans()),
    st.builds(m.SubscribeBatch, u32, st.lists(st.builds(m.SubscribeSet, u32, queries), max_size=3)),
)

v2_updates = updates(persistent | events)
outcomes = st.one_of(
    st.builds(m.ReducerOk, blobs, v2_updates),
    st.builds(m.ReducerOkEmpty),
    st.builds(m.ReducerErr, blobs),
    st.builds(m.ReducerInternalError, texts),
)
v2_server = st.one_of(
    st.builds(m.InitialConnection, identities, connection_ids, texts),
    st.builds(m.SubscribeApplied, u32, u32, query_rows),
    st.builds(m.UnsubscribeApplied, u32, u32, st.none() | query_rows),
    st.builds(m.SubscriptionError, st.none() | u32, u32, texts),
    v2_updates,
    st.builds(m.OneOffQueryResult, u32, query_rows | texts),
    st.builds(m.ReducerResult, u32, timestamps, outcomes),
    _procedures(blobs),
    st.builds(
        m.SubscribeBatchApplied,
        u32,
        st.lists(st.builds(m.SubscribeSetResult, u32, query_rows | texts), max_size=3),
    ),
)


# --- v1: no event tables, one query set for all, and who called what --------------------------------------------------


def v1_client(args: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """What a v1 client sends; `args` are bytes or JSON texts."""
    return st.one_of(
        *_client(st.just(0), args),
        st.builds(m.Unsubscribe, u32, u32, st.just(True)),
        st.builds(m.ReplaceSubscription, u32, queries),
    )


def v1_server(
    args: st.SearchStrategy[object], tables: st.SearchStrategy[str], rows: st.SearchStrategy[RowList]
) -> st.SearchStrategy[object]:
    """What a v1 server sends, with rows of these tables."""
    each = st.builds(m.SingleTableRows, tables, rows)
    snapshot = st.builds(m.QueryRows, st.lists(each, max_size=2, unique_by=lambda part: part.table))
    change = st.builds(m.TableUpdate, tables, st.lists(st.builds(m.PersistentTableRows, rows, rows), max_size=2))
    changes = st.lists(change, max_size=2, unique_by=lambda update: update.table_name)
    update = st.builds(m.TransactionUpdate, st.builds(m.QuerySetUpdate, st.just(0), changes).map(lambda one: [one]))
    call = st.builds(m.ReducerCall, texts, u32, args, identities, connection_ids, timestamps)
    return st.one_of(
        st.builds(m.InitialConnection, identities, connection_ids, texts),
        st.builds(m.SubscribeApplied, u32, u32, snapshot),
        st.builds(m.UnsubscribeApplied, u32, u32, snapshot),
        st.builds(m.ReplacedSubscription, u32, snapshot),
        st.builds(m.SubscriptionError, st.none() | u32, st.none() | u32, texts),
        update,
        st.builds(m.ReducerUpdate, call, update, st.none()),
        st.builds(m.ReducerUpdate, call, st.just(m.TransactionUpdate([])), texts),
        st.builds(m.OneOffQueryResult, u32, snapshot | texts),
        _procedures(args),
    )
