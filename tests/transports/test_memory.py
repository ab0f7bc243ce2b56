"""Links in memory: streams with the manners of sockets, and connections joined without a loop."""

import anyio
import pytest

from spacetimedb_proto.errors import ConnectionLost
from spacetimedb_proto.events import Disconnected
from spacetimedb_transports.memory import pipe
from tests.connections import joined


@pytest.mark.anyio
async def test_bytes_pass_both_ways():
    one, other = pipe()
    await one.send(b"hello")
    await other.send(b"")
    await other.send(b"world")
    assert await other.receive(3) == b"hel"
    assert await other.receive() == b"lo"
    assert await one.receive() == b"world"


@pytest.mark.anyio
async def test_sending_waits_for_room():
    one, other = pipe(capacity=4)
    await one.send(b"full")
    received = b""
    async with anyio.create_task_group() as group:
        group.start_soon(one.send, b"0123456789")
        await anyio.wait_all_tasks_blocked()
        while len(received) < 14:
            received += await other.receive()
    assert received == b"full0123456789"


@pytest.mark.anyio
async def test_end_of_one_direction():
    one, other = pipe()
    await one.send(b"last")
    await one.send_eof()
    assert await other.receive() == b"last"
    with pytest.raises(anyio.EndOfStream):
        await other.receive()
    with pytest.raises(anyio.ClosedResourceError):
        await one.send(b"more")
    await other.send(b"still")
    assert await one.receive() == b"still"


@pytest.mark.anyio
async def test_closed_end():
    one, other = pipe()
    await one.send(b"last")
    await one.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await one.receive()
    with pytest.raises(anyio.ClosedResourceError):
        await one.send(b"")
    with pytest.raises(anyio.BrokenResourceError):
        await other.send(b"x")
    assert await other.receive() == b"last"
    with pytest.raises(anyio.EndOfStream):
        await other.receive()


@pytest.mark.anyio
async def test_closing_wakes_who_waits():
    one, other = pipe(capacity=1)
    ends = []

    async def waits(call, *args):
        try:
            await call(*args)
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            ends.append(type(error))

    async with anyio.create_task_group() as group:
        group.start_soon(waits, other.receive)
        group.start_soon(waits, other.send, b"too much")
        await anyio.wait_all_tasks_blocked()
        await one.aclose()
    assert set(ends) == {anyio.EndOfStream, anyio.BrokenResourceError}


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_link_cut(chunk):
    link, connection, _, _ = joined(chunk=chunk)
    connection.session.query("SELECT 1")
    link.cut("cable pulled")
    assert link.client_events()[-1].reason == "cable pulled"
    [end] = link.server_events()
    assert isinstance(end, Disconnected)
    assert type(end.error) is ConnectionLost
