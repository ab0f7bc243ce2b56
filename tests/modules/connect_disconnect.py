"""The recorded module that notes who comes and goes."""

from spacetimedb_proto.bsatn.values import Identity
from spacetimedb_sdk.testing import Module, ReducerContext, Row

connect_disconnect = Module("sdk-test-connect-disconnect", convert_names=True)


@connect_disconnect.table(public=True)
class Connected(Row):
    identity: Identity


@connect_disconnect.table(public=True)
class Disconnected(Row):
    identity: Identity


@connect_disconnect.client_connected
def identity_connected(ctx: ReducerContext) -> None:
    ctx.db[Connected].insert(identity=ctx.sender)


@connect_disconnect.client_disconnected
def identity_disconnected(ctx: ReducerContext) -> None:
    ctx.db[Disconnected].insert(identity=ctx.sender)
