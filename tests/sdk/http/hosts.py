"""The blocking client for tests that await: each method runs in a thread."""

from __future__ import annotations

import anyio.to_thread

from spacetimedb_sdk import BlockingHttpClient


class Threaded:
    """The blocking client for tests that await: each method runs in a thread."""

    def __init__(self, *args, client=None, **kwargs):
        self.client = client or BlockingHttpClient(*args, **kwargs)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *args, **kwargs: anyio.to_thread.run_sync(lambda: method(*args, **kwargs))

    def options(self, **options):
        return Threaded(client=self.client.options(**options))

    def follow_logs(self, *args):
        return ThreadedLines(self.client.follow_logs(*args))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.client.close()


class ThreadedLines:
    def __init__(self, lines):
        self.lines = lines

    async def __aenter__(self):
        await anyio.to_thread.run_sync(self.lines.__enter__)
        return self

    async def __aexit__(self, *_):
        self.lines.close()

    def __aiter__(self):
        return self

    async def __anext__(self):
        line = await anyio.to_thread.run_sync(lambda: next(self.lines, None))
        if line is None:
            raise StopAsyncIteration
        return line
