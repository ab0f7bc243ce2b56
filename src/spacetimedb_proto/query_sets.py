"""The query sets of one connection: which exist, where each stands, and which request will be answered about it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from typing import Final

import attrs

from .cache import CACHE_POLICIES, CachePolicy
from .errors import LocalProtocolError, RemoteProtocolError
from .states import QUERY_SET, QuerySetInput, QuerySetState, step

__all__ = ["QuerySet", "QuerySets"]

_PLAIN: Final = re.compile(
    r'\s*SELECT\s+\*\s+FROM\s+(?:"([^"]+)"|(\w+))(?:\s+WHERE\s.*)?\s*;?\s*', re.IGNORECASE | re.DOTALL
)
_SOURCE: Final = re.compile(
    r'\s*SELECT\s+(?:(?:"([^"]+)"|(\w+))\s*\.\s*)?\*\s+FROM\s+(?:"([^"]+)"|(\w+))', re.IGNORECASE
)
_RENAMED: Final = r'\b(?:FROM|JOIN)\s+(?:"([^"]+)"|(\w+))\s+(?:AS\s+)?"?%s\b'
_UNANSWERED: Final = (QuerySetState.REQUESTED, QuerySetState.LEAVING_EARLY)


@attrs.define(eq=False)
class QuerySet:
    """A set of queries and where it stands.

    Attributes:
        id: What the wire calls it.
        queries: Texts of the queries.
        state: Where it stands.
        cache: What is kept of its rows.
        tables: The tables whose rows it gets, as far as its queries or the server have named them.
    """

    id: int
    queries: tuple[str, ...]
    state: QuerySetState = QuerySetState.REQUESTED
    cache: CachePolicy = "full"
    tables: set[str] = attrs.field(init=False, factory=set[str])

    def __attrs_post_init__(self) -> None:
        self.tables.update(table for query in self.queries if (table := _table_of(query)) is not None)

    @property
    def distinct_tables(self) -> Container[str]:
        """Tables of which the first rows hold none twice: those that one query alone reads, and without a join.

        A table has no row twice, but a join may deliver one as often as it has partners. Row-level security makes the
        server join where the query does not say so; that is for the caller to know.
        """
        plain = [_PLAIN.fullmatch(query) for query in self.queries]
        if not all(plain):
            return ()
        read = [match[1] or match[2] for match in plain if match]
        return {table for table in read if read.count(table) == 1}

    @property
    def is_unanswered(self) -> bool:
        """Whether the server has not said yet what becomes of it, so that it cannot hold rows."""
        return self.state in _UNANSWERED

    def step(self, event: QuerySetInput) -> None:
        """Move on, as the table of legal transitions says."""
        self.state = step(QUERY_SET, self.state, event, f"query set {self.id}")


def _table_of(query: str) -> str | None:
    """The table whose rows a query selects, with its other name resolved; None for what is no such query.

    A server leaves out tables of which it has no row, so its first answer alone does not tell.
    """
    found = _SOURCE.match(query)
    if found is None:
        return None
    selected, source = found[1] or found[2], found[3] or found[4]
    if selected is None or selected == source:
        return source
    renamed = re.search(_RENAMED % re.escape(selected), query, re.IGNORECASE)
    return selected if renamed is None else renamed[1] or renamed[2]


def _most(policies: Iterable[CachePolicy]) -> CachePolicy:
    """The policy that keeps most; "full" if there is none."""
    found = set(policies)
    for policy in CACHE_POLICIES:
        if policy in found:
            return policy
    return "full"


@attrs.frozen
class _Request:
    sets: tuple[QuerySet, ...]
    wish: QuerySetInput


class QuerySets:
    """Query sets by id, and the requests under way about them.

    Ids of ended sets are remembered: the server may still send updates for a set whose view failed, and those are
    ignored (protocol reference, 3.5), while an id that was never used is the server's error.

    Attributes:
        lean: Policies of the sets whose rows are not stored.
    """

    def __init__(self) -> None:
        self.lean: dict[int, CachePolicy] = {}
        self._sets: dict[int, QuerySet] = {}
        self._ended: set[int] = set()
        self._requests: dict[int, _Request] = {}
        self._kept: dict[str, CachePolicy] = {}

    def __iter__(self) -> Iterator[QuerySet]:
        return iter(self._sets.values())

    def __len__(self) -> int:
        return len(self._sets)

    def __contains__(self, query_set: QuerySet) -> bool:
        return self._sets.get(query_set.id) is query_set

    def get(self, query_set_id: int) -> QuerySet | None:
        """The set of that id, if it has not ended."""
        return self._sets.get(query_set_id)

    def kept(self, table: str) -> CachePolicy:
        """The most that a live set keeps of a table's rows; "full" also if no set reads the table."""
        if not self.lean:
            return "full"
        found = self._kept.get(table)
        if found is None:
            found = _most(each.cache for each in self if table in each.tables and not each.is_unanswered)
            self._kept[table] = found
        return found

    def start(self, request_id: int, sets: Iterable[tuple[int, Iterable[str]]], *, cache: CachePolicy = "full") -> None:
        """Note a request for new sets. An id that is live already keeps its live set; the answer tells them apart."""
        asked: list[QuerySet] = []
        for query_set_id, queries in sets:
            query_set = QuerySet(query_set_id, tuple(queries), cache=cache)
            if query_set_id not in self._sets:
                self._sets[query_set_id] = query_set
                if cache != "full":
                    self.lean[query_set_id] = cache
                self._ended.discard(query_set_id)
            asked.append(query_set)
        self._requests[request_id] = _Request(tuple(asked), QuerySetInput.APPLIED)

    def leave(self, request_id: int, query_set_id: int, *, unknown_is_error: bool = True) -> None:
        """Note a request to end a set.

        Raises:
            LocalProtocolError: There is no such set, or it is leaving already.
        """
        query_set = self._sets.get(query_set_id)
        if query_set is not None:
            query_set.step(QuerySetInput.UNSUBSCRIBE)
        elif unknown_is_error:
            raise LocalProtocolError(f"expected the id of a query set that has not ended, got {query_set_id}")
        else:
            query_set = QuerySet(query_set_id, (), QuerySetState.ENDED)
        self._requests[request_id] = _Request((query_set,), QuerySetInput.UNSUBSCRIBED)

    def answered(self, request_id: int, wish: QuerySetInput, query_set_id: int) -> QuerySet:
        """The set that an answer is about.

        Raises:
            RemoteProtocolError: Nobody asked, or asked for something else.
        """
        query_set = self.batch_answered(request_id, wish)[0]
        if query_set.id != query_set_id or (query_set not in self and wish is QuerySetInput.APPLIED):
            raise RemoteProtocolError(
                f"request {request_id} was about query set {query_set.id}, its answer is about {query_set_id}"
            )
        return query_set

    def batch_answered(self, request_id: int, wish: QuerySetInput) -> tuple[QuerySet, ...]:
        """The sets that an answer is about; raises as `answered`."""
        request = self._requests.get(request_id)
        if request is None or request.wish is not wish or not request.sets:
            raise RemoteProtocolError(f"answer ({wish.value}) to request {request_id}, which did not ask for that")
        del self._requests[request_id]
        return request.sets

    def applied(self, query_set: QuerySet, tables: Iterable[str]) -> None:
        """A set is live, and the first rows that it got are of these tables."""
        query_set.step(QuerySetInput.APPLIED)
        self.delivered(query_set, tables)

    def delivered(self, query_set: QuerySet, tables: Iterable[str]) -> None:
        """A live set got rows of these tables."""
        query_set.tables.update(tables)
        self._kept.clear()

    def refused(self, request_id: int) -> tuple[QuerySet, QuerySetInput]:
        """The set whose request failed, and what that means for it."""
        request = self._requests.pop(request_id, None)
        if request is None or not request.sets:
            raise RemoteProtocolError(f"SubscriptionError for request {request_id}, which is not under way")
        refused = QuerySetInput.REFUSED if request.wish is QuerySetInput.APPLIED else request.wish
        return request.sets[0], refused

    def receiving(self, query_set_id: int) -> bool:
        """Whether updates for this id are to be applied; those for ended sets are ignored.

        Raises:
            RemoteProtocolError: The set was never asked for, or is not applied yet.
        """
        query_set = self._sets.get(query_set_id)
        if query_set is not None and not query_set.is_unanswered:
            return True
        if query_set is None and query_set_id in self._ended:
            return False
        why = "is not applied yet" if query_set else "was never asked for"
        raise RemoteProtocolError(f"update for query set {query_set_id}, which {why}")

    def end(self, query_set: QuerySet, how: QuerySetInput) -> None:
        """A set is over."""
        query_set.step(how)
        if query_set in self:
            del self._sets[query_set.id]
            self.lean.pop(query_set.id, None)
            self._kept.clear()
            self._ended.add(query_set.id)
