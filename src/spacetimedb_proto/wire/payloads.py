"""What a payload must be before anybody reads it: of the protocol's kind, and not too large."""

from __future__ import annotations

from typing import TypeAlias, overload

from ..errors import RemoteProtocolError
from ..limits import Limits
from .compression import Sealed

__all__ = ["Waiting", "expect_binary", "expect_text"]

Waiting: TypeAlias = bytes | str | Sealed
"""A payload that has come and has not been read."""


@overload
def expect_binary(payload: bytes | str, limits: Limits, where: str) -> bytes: ...


@overload
def expect_binary(payload: Waiting, limits: Limits, where: str) -> bytes | Sealed: ...


def expect_binary(payload: Waiting, limits: Limits, where: str) -> bytes | Sealed:
    """The payload of a BSATN protocol.

    Raises:
        RemoteProtocolError: It is text, or larger than `limits.message_size`; `where` is named.
    """
    if isinstance(payload, str):
        raise RemoteProtocolError(f"{where}: expected a binary message, got a text message")
    _check_size(payload, limits, where)
    return payload


def expect_text(payload: Waiting, limits: Limits, where: str) -> str:
    """The payload of v1.json; raises as `expect_binary`."""
    if not isinstance(payload, str):
        raise RemoteProtocolError(f"{where}: expected a text message, got a binary message")
    _check_size(payload, limits, where)
    return payload


def _check_size(payload: Waiting, limits: Limits, where: str) -> None:
    if len(payload) > limits.message_size:
        raise RemoteProtocolError(
            f"{where}: expected a message of at most {limits.message_size} bytes, got {len(payload)}"
        )
