"""A web application with FastAPI: pages are answered from the cache, without a question to the server.

    pip install fastapi uvicorn
    SPACETIMEDB_URI=http://127.0.0.1:3000 SPACETIMEDB_DATABASE=chat uvicorn web_app:app --app-dir examples

One connection serves all requests. It comes back by itself when it is lost; meanwhile pages show what was last known,
and `/health` says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from spacetimedb_sdk import Connection, Inserted, NotSent, OutcomeUnknown, ReducerError, connect


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    uri = os.environ.get("SPACETIMEDB_URI", "http://127.0.0.1:3000")
    async with connect(uri, os.environ.get("SPACETIMEDB_DATABASE", "chat")) as conn:
        await conn.subscribe("SELECT * FROM user", "SELECT * FROM message")
        app.state.conn = conn
        yield


app = FastAPI(title="Chat", lifespan=lifespan)


def connection(request: Request) -> Connection:
    return request.app.state.conn


Conn = Annotated[Connection, Depends(connection)]


def shown(conn: Connection, message: Any) -> dict[str, Any]:
    sender = conn.db.user.find(identity=message.sender)
    return {
        "id": message.id,
        "sender": (sender and sender.name) or message.sender.hex(),
        "sent": message.sent.to_datetime().isoformat(),
        "text": message.text,
    }


@app.get("/messages")
async def messages(conn: Conn, limit: int = 50) -> list[dict[str, Any]]:
    newest = sorted(conn.db.message, key=lambda message: message.id)[-limit:]
    return [shown(conn, message) for message in newest]


class Said(BaseModel):
    text: str


@app.post("/messages", status_code=201)
async def say(conn: Conn, said: Said) -> Response:
    try:
        await conn.reducers.send_message.options(timeout=5, retry=True)(said.text)
    except ReducerError as error:  # the module's own words
        raise HTTPException(422, str(error)) from error
    except OutcomeUnknown as error:  # it may have run: the caller should look before sending it again
        raise HTTPException(504, str(error)) from error
    except NotSent as error:
        raise HTTPException(503, str(error)) from error
    return Response(status_code=201)


@app.get("/health")
async def health(conn: Conn) -> dict[str, Any]:
    return {"state": conn.state.value, "stale": conn.is_stale, "messages": len(conn.db.message)}


async def news(conn: Connection) -> AsyncIterator[str]:
    """New messages as server-sent events. A reader that is too slow misses the oldest."""
    async with conn.db.message.changes(buffer=100, overflow="drop_old") as changes:
        async for change in changes:
            if isinstance(change, Inserted):
                yield f"data: {json.dumps(shown(conn, change.row))}\n\n"


@app.get("/events")
async def events(conn: Conn) -> StreamingResponse:
    return StreamingResponse(news(conn), media_type="text/event-stream")
