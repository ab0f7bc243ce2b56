"""What SQL over HTTP gives, with the columns that rows can be had as everywhere in this SDK."""

from __future__ import annotations

import attrs

from spacetimedb_proto.http_api import statements

from ..tabular import Held, Tabular

__all__ = ["SqlResult"]


@attrs.frozen
class SqlResult(statements.SqlResult, Tabular):
    """The outcome of one statement: its rows, to be counted, indexed and gone through like a list; and as columns."""

    @classmethod
    def of(cls, result: statements.SqlResult) -> SqlResult:
        """The same result."""
        return cls(**{field.name: getattr(result, field.name) for field in attrs.fields(statements.SqlResult)})

    def held(self, what: str) -> Held:  # noqa: ARG002 - these rows are always there
        """The rows as of now, for those who make something else of them; raises as `to_arrow`."""
        return Held(self.row, self.rows)
