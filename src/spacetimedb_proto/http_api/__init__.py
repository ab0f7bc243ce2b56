"""The HTTP API as data: what each operation asks, and what its answers mean (protocol reference, 5).

`Api` makes the operations of one database; an `Operation` is a request without a token, and a reader of its answer.
Nothing here opens, waits or retries.
"""

from ..query_text import table_of
from .logs import LogLine, LogReader, TraceFrame
from .operations import Api, Operation
from .results import CallResult, DatabaseInfo, NewIdentity, Published, PublishPlan
from .statements import ResultColumn, SqlAnswer, SqlResult

__all__ = [
    "Api",
    "CallResult",
    "DatabaseInfo",
    "LogLine",
    "LogReader",
    "NewIdentity",
    "Operation",
    "PublishPlan",
    "Published",
    "ResultColumn",
    "SqlAnswer",
    "SqlResult",
    "TraceFrame",
    "table_of",
]
