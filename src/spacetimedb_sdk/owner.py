"""Whose a connection is.

A forked child has a copy of it, but none of the threads that drive it, and its sockets are those of the parent.
"""

from __future__ import annotations

import os

from spacetimedb_proto.errors import LocalProtocolError

__all__ = ["check_process"]


def check_process(opener: int) -> None:
    """Refuse a caller in a forked child.

    Args:
        opener: The process that opened the connection.

    Raises:
        LocalProtocolError: This is another one.
    """
    if os.getpid() != opener:
        raise LocalProtocolError(
            "expected a caller in the process that opened the connection, got one in a forked child: open another "
            "connection there"
        )
