"""The HTTP API without a socket that stays: SQL, calls, logs, administration.

::

    from spacetimedb_sdk import HttpClient

    async with HttpClient("http://127.0.0.1:3000", "chat") as client:
        for user in await client.sql("SELECT * FROM user"):
            print(user.name)
        await client.call("send_message", "hello")

`HttpClient` serves asyncio and trio, `BlockingHttpClient` everything else; both have the same methods.
"""

from typing import TYPE_CHECKING

from spacetimedb_proto.door import door

if TYPE_CHECKING:
    from spacetimedb_proto.http_api import (
        CallResult,
        DatabaseInfo,
        LogLine,
        NewIdentity,
        Published,
        PublishPlan,
        ResultColumn,
        TraceFrame,
    )

    from .async_client import AsyncLogStream, HttpClient
    from .batch import CallFailure, CallReport, Progress
    from .blocking_client import BlockingHttpClient, LogStream
    from .rows import SqlResult
else:
    __getattr__, __dir__ = door(
        __name__,
        {
            "spacetimedb_proto.http_api": (
                "CallResult",
                "DatabaseInfo",
                "LogLine",
                "NewIdentity",
                "PublishPlan",
                "Published",
                "ResultColumn",
                "TraceFrame",
            ),
            ".async_client": ("AsyncLogStream", "HttpClient"),
            ".batch": ("CallFailure", "CallReport", "Progress"),
            ".blocking_client": ("BlockingHttpClient", "LogStream"),
            ".rows": ("SqlResult",),
        },
    )

__all__ = [
    "AsyncLogStream",
    "BlockingHttpClient",
    "CallFailure",
    "CallReport",
    "CallResult",
    "DatabaseInfo",
    "HttpClient",
    "LogLine",
    "LogStream",
    "NewIdentity",
    "Progress",
    "PublishPlan",
    "Published",
    "ResultColumn",
    "SqlResult",
    "TraceFrame",
]
