"""What a module declares, before it is a schema: one value for each thing that a decorator was put on."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import attrs

__all__ = ["Lifecycle", "ModuleFunction", "ModuleTable", "ModuleView"]


class Lifecycle(enum.Enum):
    """When the server calls a reducer by itself; the values are the schema's names."""

    INIT = "Init"
    CLIENT_CONNECTED = "OnConnect"
    CLIENT_DISCONNECTED = "OnDisconnect"


@attrs.frozen(kw_only=True)
class ModuleTable:
    """A table as the module declares it.

    Attributes:
        name: The canonical one.
        source_name: What the module calls it.
        row: The class of its rows.
        scheduled: The function that its rows are calls of, by canonical or source name.
        indexes: Columns of each index that was asked for beside the markers, by the name that clients know it by.
    """

    name: str
    source_name: str
    row: type[Any]
    is_public: bool
    is_event: bool
    scheduled: str | None
    indexes: Mapping[str, tuple[str, ...]]


@attrs.frozen(kw_only=True)
class ModuleFunction:
    """A reducer or procedure as the module declares it.

    Attributes:
        name: The canonical one.
        source_name: What the module calls it.
        call: Takes the context and the arguments in order.
        lifecycle: When the server calls it by itself, or None for one that clients call.
    """

    name: str
    source_name: str
    call: Callable[..., Any]
    is_procedure: bool = False
    lifecycle: Lifecycle | None = None


@attrs.frozen(kw_only=True)
class ModuleView:
    """A view as the module declares it.

    Attributes:
        name: The canonical one.
        source_name: What the module calls it.
        call: Takes the context.
        is_anonymous: Whether the rows are the same for everybody.
        primary_key: Python's name of the column that its rows are known by.
    """

    name: str
    source_name: str
    call: Callable[..., Any]
    is_public: bool
    is_anonymous: bool
    primary_key: str | None
