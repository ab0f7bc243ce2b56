"""`spacetimedb-sdk delete`: a database, with all its rows."""

from __future__ import annotations

from .output import console
from .publish import Yes, confirm
from .target import Target, with_target

__all__ = ["delete"]


@with_target
def delete(target: Target, *, yes: Yes = False) -> None:
    """Delete the database and all its rows."""
    confirm(f"Delete {target.name} at {target.uri}, with all its rows?", yes=yes)
    with target.client() as client:
        client.delete()
    console().print(f"deleted {target.name}", markup=False)
