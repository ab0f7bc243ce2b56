"""Comparing two definitions of a module: the one that a client or generated code knows, and the one that is served.

`compare` looks at what a client can reach. Types that no table and no function uses, HTTP handlers, defaults, names of
constraints and bounds of sequences make no difference to it; neither does the order of anything but of what BSATN lays
out by position. Types are compared in `type_drift`; what comes of it is in `differences`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .differences import Change, Difference, Drift, Effect
from .type_drift import TypeDrift

if TYPE_CHECKING:
    from ..bsatn.types import Element
    from .definitions import Function, Index, Table
    from .model import Schema

__all__ = ["compare"]


def compare(known: Schema, served: Schema, *, private: bool = True) -> Drift:
    """How a served definition differs from a known one, and whom that breaks.

    A column that was added at the end breaks a connection with its old codecs, whose rows are shorter, but no code for
    which the connection reads the longer ones. A variant that was added at the end changes no bytes that were valid;
    the first value of it is an error that names the type. A table or function that is gone breaks code that names it; a
    connection that asks for it gets the server's refusal, as for any other. Everything else that was known and is gone,
    or is different, breaks both, as far as a client can notice.

    A v9 answer tells less than a v10 one (schema reference, 1.2). If one of them is compared with the other, what only
    v10 tells is left out: submodules, whether a table holds events, keys of views, and whether a function is private
    that the host does not run by itself. A change in one of these is then not noticed.

    Args:
        known: What the client knows.
        served: What the server answers now.
        private: Whether tables count that are private in `known`. Nobody but the owner can read those, and a module's
            author may change them at will; so whoever reads none of them passes False.
    """
    return _Comparison(known, served, private=private).drift()


class _Comparison:
    def __init__(self, known: Schema, served: Schema, *, private: bool) -> None:
        self._known = known
        self._served = served
        self._private = private
        self._is_mixed = known.version != served.version
        self._types = TypeDrift(known, served)

    def drift(self) -> Drift:
        self._tables()
        self._functions("reducer", self._known.reducers, self._served.reducers)
        self._functions("procedure", self._known.procedures, self._served.procedures)
        self._row_level_security()
        return Drift(self._types.differences())

    def _note(
        self,
        kind: str,
        name: str,
        what: Change,
        before: str = "",
        after: str = "",
        *,
        effect: Effect = Effect.NONE,
    ) -> None:
        self._types.note(Difference(kind=kind, name=name, what=what, before=before, after=after, effect=effect))

    # --- tables and views ---------------------------------------------------------------------------------------------

    def _tables(self) -> None:
        known, served = self._reachable_tables(self._known), self._reachable_tables(self._served)
        for name in sorted(known.keys() | served.keys()):
            if name not in known:
                self._note(_kind(served[name]), name, "added")
                continue
            now = self._served.tables.get(name)
            if now is None:
                self._note(_kind(known[name]), name, "removed", effect=Effect.API)
            else:
                self._table(known[name], now)

    def _reachable_tables(self, schema: Schema) -> dict[str, Table]:
        return {
            name: table
            for name, table in schema.tables.items()
            if (table.is_public or self._private) and not (self._is_mixed and table.namespace)
        }

    def _table(self, known: Table, served: Table) -> None:
        kind, name = _kind(known), known.name
        if known.is_view != served.is_view:
            # A table never has a row twice, what a view's function returns may; a cache counts accordingly.
            effect = Effect.WIRE if served.is_view else Effect.NONE
            self._note("table", name, "changed", f"a {kind}", f"a {_kind(served)}", effect=effect)
        if known.is_public != served.is_public:
            effect = Effect.API if known.is_public else Effect.NONE
            self._note(kind, name, "changed", _access(known), _access(served), effect=effect)
        if known.is_event != served.is_event and not self._is_mixed:
            before, after = _holds(known), _holds(served)
            self._note(kind, name, "changed", before, after, effect=Effect.BOTH)
        self._types.members("parameter", name, _params(known), _params(served))
        self._types.rows(known, served)
        self._constraints(known, served)

    def _constraints(self, known: Table, served: Table) -> None:
        name = known.name
        if not (self._is_mixed and (known.is_view or served.is_view)):
            self._primary_key(name, _key(known), _key(served))
        self._each("unique", name, _unique(known), _unique(served))
        self._each("index", name, _indexes(known), _indexes(served))
        self._each("auto increment", name, _sequences(known), _sequences(served))
        self._each("schedule", name, _schedule(known), _schedule(served))

    def _primary_key(self, table: str, known: str, served: str) -> None:
        if known == served:
            return
        if not known:
            # Pairs of deletes and inserts become updates, which code may not expect.
            self._note("primary key", table, "added", after=served, effect=Effect.API)
        elif not served:
            self._note("primary key", table, "removed", known, effect=Effect.BOTH)
        else:
            self._note("primary key", table, "changed", known, served, effect=Effect.BOTH)

    def _each(self, kind: str, table: str, known: Mapping[str, Effect], served: Iterable[str]) -> None:
        """Compare things that are only there or not. The effect is that of removing one."""
        for item in sorted({*known, *served}):
            if item not in known:
                self._note(kind, f"{table}.{item}", "added")
            elif item not in served:
                self._note(kind, f"{table}.{item}", "removed", effect=known[item])

    # --- functions ----------------------------------------------------------------------------------------------------

    def _functions(self, kind: str, known: Mapping[str, Function], served: Mapping[str, Function]) -> None:
        for name in sorted(known.keys() | served.keys()):
            before, after = known.get(name), served.get(name)
            was, is_ = self._is_offered(before), self._is_offered(after)
            if before is not None and was:
                self._function(kind, before, after, is_offered=is_)
            elif is_ and before is None:
                self._note(kind, name, "added")
            elif is_:
                self._note(kind, name, "changed", "private", "callable")

    def _is_offered(self, function: Function | None) -> bool:
        """Whether a client may call it, as far as both answers tell."""
        if function is None or (self._is_mixed and function.namespace):
            return False
        if self._is_mixed:
            return function.lifecycle is None and not function.is_scheduled
        return function.is_callable

    def _function(self, kind: str, known: Function, served: Function | None, *, is_offered: bool) -> None:
        if served is None:
            self._note(kind, known.name, "removed", effect=Effect.API)
            return
        if not is_offered:
            self._note(kind, known.name, "changed", "callable", "private", effect=Effect.API)
        self._types.members("parameter", known.name, known.params_product.elements, served.params_product.elements)
        if known.return_type is not None and served.return_type is not None:
            self._types.at("return type", known.name, known.return_type, served.return_type)

    # --- rules --------------------------------------------------------------------------------------------------------

    def _row_level_security(self) -> None:
        known, served = self._known.row_level_security, self._served.row_level_security
        if known == served:
            return
        # With rules a plain query may deliver a row twice, so that a cache must count from the first snapshot on.
        effect = Effect.WIRE if served and not known else Effect.NONE
        self._note("row-level security", "of the module", "changed", _rules(known), _rules(served), effect=effect)


# --- in words ---------------------------------------------------------------------------------------------------------


def _kind(table: Table) -> str:
    return "view" if table.is_view else "table"


def _params(table: Table) -> tuple[Element, ...]:
    return () if table.view is None else table.view.params_product.elements


def _access(table: Table) -> str:
    return "public" if table.is_public else "private"


def _holds(table: Table) -> str:
    return "events" if table.is_event else "stored rows"


def _rules(rules: tuple[str, ...]) -> str:
    texts = ("1 rule" if len(rules) == 1 else f"{len(rules)} rules") if rules else "no rules"
    return f"{texts} ({'; '.join(rules)})" if rules else texts


def _columns(table: Table, columns: Iterable[int]) -> str:
    """Columns by name: they may have moved."""
    return ", ".join(table.columns[column].name for column in columns)


def _key(table: Table) -> str:
    return "" if table.primary_key is None else _columns(table, (table.primary_key,))


def _unique(table: Table) -> dict[str, Effect]:
    return {_columns(table, sorted(columns)): Effect.BOTH for columns in table.unique_sets}


def _indexes(table: Table) -> dict[str, Effect]:
    """Indexes as code sees them: by accessor and columns. Without an accessor it cannot name one."""
    return {_index(table, index): Effect.API if index.accessor else Effect.NONE for index in table.indexes}


def _index(table: Table, index: Index) -> str:
    return f"{index.accessor or 'unnamed'} ({_columns(table, index.columns)})"


def _sequences(table: Table) -> dict[str, Effect]:
    return {_columns(table, (sequence.column,)): Effect.NONE for sequence in table.sequences}


def _schedule(table: Table) -> dict[str, Effect]:
    return {} if table.schedule is None else {table.schedule.function: Effect.NONE}
