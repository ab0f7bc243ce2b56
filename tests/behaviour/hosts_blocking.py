"""The blocking host behind the face of the async one: every call on a thread of its own, which it blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread

import spacetimedb_sdk.blocking

from .hosts import LACKING, Host

THREADS = ThreadPoolExecutor(32, "test")


class Blocking(Host):
    """Every call on a thread of its own, which it blocks."""

    name = "blocking"
    loops = ("asyncio",)
    lacks = frozenset(LACKING)

    def connect(self, *args, **options):
        return Opening(lambda: Connection(spacetimedb_sdk.blocking.connect(*args, **options)))


class Called:
    """A call that runs from now on, and can be awaited."""

    def __init__(self, function, *args, **kwargs):
        self._future = THREADS.submit(function, *args, **kwargs)

    def __await__(self):
        return anyio.to_thread.run_sync(self._future.result, abandon_on_cancel=True).__await__()


class Opening:
    """Can be awaited or entered, as what the async `connect` returns."""

    def __init__(self, connect):
        self._connect = connect

    def __await__(self):
        return Called(self._connect).__await__()

    async def __aenter__(self):
        self._conn = await self
        return self._conn

    async def __aexit__(self, *exc):
        with anyio.CancelScope(shield=True):
            await Called(self._conn.wrapped.__exit__, *exc)


class Wrapper:
    """Something of the blocking host. What is not changed here is its own."""

    def __init__(self, wrapped):
        self.wrapped = wrapped

    def __getattr__(self, name):
        return getattr(self.wrapped, name)

    def __repr__(self):
        return repr(self.wrapped)


class Connection(Wrapper):
    @property
    def db(self):
        return Things(self.wrapped.db, Table)

    @property
    def reducers(self):
        return Things(self.wrapped.reducers, Function)

    @property
    def procedures(self):
        return Things(self.wrapped.procedures, Function)

    def subscribe(self, *queries, **options):
        return Called(lambda: Subscription(self.wrapped.subscribe(*queries, **options)))

    def subscribe_to_all_tables(self, **options):
        return Called(lambda: Subscription(self.wrapped.subscribe_to_all_tables(**options)))

    def query(self, *args, **options):
        return Called(self.wrapped.query, *args, **options)

    def transactions(self, **options):
        return Stream(self.wrapped.transactions(**options))

    def states(self):
        return Stream(self.wrapped.states())

    def aclose(self):
        return Called(self.wrapped.close)


class Things(Wrapper):
    """Tables, reducers or procedures."""

    def __init__(self, wrapped, kind):
        super().__init__(wrapped)
        self._kind = kind

    def __getattr__(self, name):
        return self._kind(getattr(self.wrapped, name))

    def __getitem__(self, name):
        return self._kind(self.wrapped[name])

    def __contains__(self, name):
        return name in self.wrapped


class Table(Wrapper):
    def changes(self, **options):
        return Stream(self.wrapped.changes(**options))

    def __iter__(self):
        return iter(self.wrapped)

    def __len__(self):
        return len(self.wrapped)

    def __contains__(self, row):
        return row in self.wrapped


class Function(Wrapper):
    def options(self, **options):
        return Function(self.wrapped.options(**options))

    def __call__(self, *args, **kwargs):
        return Called(self.wrapped, *args, **kwargs)


class Subscription(Wrapper):
    def unsubscribe(self, **options):
        return Called(self.wrapped.unsubscribe, **options)

    def replace(self, *queries, **options):
        def replace():
            assert self.wrapped.replace(*queries, **options) is self.wrapped
            return self

        return Called(replace)


class Stream(Wrapper):
    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await Called(next, self.wrapped, self)  # no StopIteration leaves a future
        if item is self:
            raise StopAsyncIteration
        return item

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.wrapped.close()
