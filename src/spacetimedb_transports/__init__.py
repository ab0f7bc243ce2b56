"""Moves bytes and keeps time for `spacetimedb_proto`: one module for each way to wait.

Each opens a link, pumps both ways, arms one timer and hands out events; none knows SpacetimeDB. Import what you need:
`anyio` (asyncio and trio), `blocking` (a thread), `frame` (polled from a frame loop), `memory` (tests).
"""
