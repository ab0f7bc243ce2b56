"""The query sets of one connection: which exist, where each stands, and which request will be answered about it."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Iterator
from typing import Final

import attrs

from .cache import CACHE_POLICIES, CachePolicy
from .errors import LocalProtocolError, RemoteProtocolError
from .query_text import table_of
from .states import QUERY_SET, QuerySetInput, QuerySetState, step

__all__ = ["QuerySet", "QuerySets"]

_PLAIN: Final = re.compile(
    r'\s*SELECT\s+\*\s+FROM\s+(?:"([^"]+)"|(\w+))(?:\s+WHERE\s.*)?\s*;?\s*', re.IGNORECASE | re.DOTALL
)
_UNANSWERED: Final = (QuerySetState.REQUESTED, QuerySetState.STALE, QuerySetState.LEAVING_EARLY)
_HOLDING: Final = (QuerySetState.LIVE, QuerySetState.STALE, QuerySetState.LEAVING)


@attrs.define(eq=False)
class QuerySet:
    """A set of queries and where it stands.

    Attributes:
        id: What the wire calls it.
        queries: Texts of the queries.
        state: Where it stands.
        cache: What is kept of its rows.
        deadline: When to wait no longer for its first rows, on the clock that `handle_timeout` is called with.
        tables: The tables whose rows it gets, as far as its queries or the server have named them.
    """

    id: int
    queries: tuple[str, ...]
    state: QuerySetState = QuerySetState.REQUESTED
    cache: CachePolicy = "full"
    deadline: float = math.inf
    tables: set[str] = attrs.field(init=False, factory=set[str])

    def __attrs_post_init__(self) -> None:
        # A server leaves out tables of which it has no row, so its first answer alone does not tell.
        self.tables.update(table for query in self.queries if (table := table_of(query)) is not None)

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
        """Whether the server, on the present link, has not said yet what becomes of it."""
        return self.state in _UNANSWERED

    @property
    def is_leaving(self) -> bool:
        """Whether this side has asked for its end."""
        return self.state in (QuerySetState.LEAVING, QuerySetState.LEAVING_EARLY)

    def step(self, event: QuerySetInput) -> None:
        """Move on, as the table of legal transitions says."""
        self.state = step(QUERY_SET, self.state, event, f"query set {self.id}")


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

    Ids of ended sets are remembered as long as the link lasts: the server may still send updates for a set whose view
    failed, and those are ignored (protocol reference, 3.5), while an id that was never used is the server's error.

    Attributes:
        lean: Policies of the sets whose rows are not stored.
    """

    def __init__(self) -> None:
        self.lean: dict[int, CachePolicy] = {}
        self._sets: dict[int, QuerySet] = {}
        self._ended: set[int] = set()
        self._requests: dict[int, _Request] = {}
        self._kept: dict[str, CachePolicy] = {}
        self._timed: dict[int, QuerySet] = {}

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
            found = _most(each.cache for each in self if table in each.tables and each.state in _HOLDING)
            self._kept[table] = found
        return found

    def start(self, request_id: int, sets: Iterable[tuple[int, Iterable[str]]], *, cache: CachePolicy = "full") -> None:
        """Note a request for new sets. An id that is live already keeps its live set; the answer tells them apart."""
        self.ask(request_id, [self.add(query_set_id, queries, cache=cache) for query_set_id, queries in sets])

    def add(
        self, query_set_id: int, queries: Iterable[str], *, cache: CachePolicy = "full", deadline: float = math.inf
    ) -> QuerySet:
        """Note a set that is wanted. Nobody has been asked for it yet."""
        query_set = QuerySet(query_set_id, tuple(queries), cache=cache, deadline=deadline)
        if deadline < math.inf:
            self._timed[query_set_id] = query_set
        if query_set_id not in self._sets:
            self._sets[query_set_id] = query_set
            if cache != "full":
                self.lean[query_set_id] = cache
            self._ended.discard(query_set_id)
        return query_set

    def ask(self, request_id: int, sets: Iterable[QuerySet]) -> None:
        """Note a request for sets that are wanted."""
        self._requests[request_id] = _Request(tuple(sets), QuerySetInput.APPLIED)

    def next_deadline(self) -> float:
        """When the first of the sets that wait for their first rows has waited for too long."""
        return min((query_set.deadline for query_set in self._timed.values()), default=math.inf)

    def late(self, now: float) -> list[QuerySet]:
        """Take the sets that have waited for too long; they are waited for no longer."""
        late = [query_set for query_set in self._timed.values() if query_set.deadline <= now]
        for query_set in late:
            del self._timed[query_set.id]
        return late

    def take_back(self, query_set_id: int) -> QuerySet:
        """A set is not wanted any more, and there is no link over which anybody could be told.

        Raises:
            LocalProtocolError: There is no such set, or it is leaving already.
        """
        query_set = self._wanted(query_set_id)
        query_set.step(QuerySetInput.UNSUBSCRIBE)
        return query_set

    def lose(self) -> list[QuerySet]:
        """The link is lost, and with it all requests. Returns the sets that were leaving: they are over."""
        self._requests.clear()
        self._ended.clear()  # no other link will say anything about them
        leaving = [query_set for query_set in self if query_set.is_leaving]
        for query_set in self:
            if not query_set.is_leaving:
                query_set.step(QuerySetInput.LOST)
        return leaving

    def leave(self, request_id: int, query_set_id: int, *, unknown_is_error: bool = True) -> None:
        """Note a request to end a set.

        Raises:
            LocalProtocolError: There is no such set, or it is leaving already.
        """
        if query_set_id in self._sets or unknown_is_error:
            query_set = self._wanted(query_set_id)
            query_set.step(QuerySetInput.UNSUBSCRIBE)
        else:
            query_set = QuerySet(query_set_id, (), QuerySetState.ENDED)
        self._requests[request_id] = _Request((query_set,), QuerySetInput.UNSUBSCRIBED)

    def _wanted(self, query_set_id: int) -> QuerySet:
        query_set = self._sets.get(query_set_id)
        if query_set is None:
            raise LocalProtocolError(f"expected the id of a query set that has not ended, got {query_set_id}")
        return query_set

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
        self._timed.pop(query_set.id, None)
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
            self._timed.pop(query_set.id, None)
            self._kept.clear()
            self._ended.add(query_set.id)
