"""What keeps programs written for `spacetimedb-sdk` 0.7 running.

They import `spacetimedb_client`, `spacetimedb_async_client`, `client_cache` and `local_config`, which are made of what
is here. Nothing else in the SDK imports any of it, and new programs need none of it: `docs/from-0.7.md` says what to
write instead.
"""
