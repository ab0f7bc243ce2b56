"""Which error an answer means. The classes are those that the socket raises."""

from __future__ import annotations

from typing import Final

from ..errors import (
    ConnectionRefused,
    OutcomeUnknown,
    ProcedureError,
    QueryError,
    ReducerError,
    RequestError,
    SpacetimeDBError,
)
from ..http import HttpResponse, refusal

__all__ = ["call_failure", "failure", "query_failure", "server_failure"]

_NOT_RUN: Final = (400, 402, 413, 415)
"""Bad arguments, no energy left, a body that is too large: the function was not run, or undone."""

_NO_FUNCTION: Final = "No such procedure"
"""How the 404 of a function begins that is missing or private; that of a database is another."""


def failure(response: HttpResponse, token: str | None) -> SpacetimeDBError:
    """The error that an answer means whatever was asked for.

    Args:
        response: The answer, of a status other than the one hoped for.
        token: The token that was sent, so that no message shows it.
    """
    refused = refusal(response.status, response.body, token=token)
    if response.status in (401, 403, 404) or 300 <= response.status < 400:
        return refused
    return RequestError(str(refused), status=response.status, body=refused.body)


def server_failure(response: HttpResponse, token: str | None) -> SpacetimeDBError:
    """The error that an answer means where no database was asked for, so that none can be missing."""
    found = failure(response, token)
    if response.status == 404:
        return RequestError(f"{found}; is this a SpacetimeDB server?", status=404, body=getattr(found, "body", ""))
    return found


def query_failure(response: HttpResponse, token: str | None) -> SpacetimeDBError:
    """The error that an answer to SQL means."""
    if response.status == 400:
        return QueryError(_text(response))
    return _visit_failure(response, token)


def call_failure(response: HttpResponse, token: str | None, function: str, *, is_procedure: bool) -> SpacetimeDBError:
    """The error that an answer to a call means.

    A status of a proxy's own, such as 502, leaves open whether the call has run. So does 500 for a reducer, which is
    the host's own fault; a procedure answers like that when it fails.
    """
    status = response.status
    kind = ProcedureError if is_procedure else ReducerError
    if status in (530, *_NOT_RUN) or (status == 404 and _text(response).startswith(_NO_FUNCTION)):
        return kind(_text(response), function=function)
    if status == 500 and is_procedure:
        return kind(_text(response), function=function)
    if status in (500, 502, 504):
        text = refusal(status, response.body, token=token)
        return OutcomeUnknown(f"{function}: {text}; it may have run", function=function)
    return _visit_failure(response, token)


def _visit_failure(response: HttpResponse, token: str | None) -> SpacetimeDBError:
    """Calls and SQL run `client_connected` first, whose refusal is a 403 (protocol reference, 5)."""
    found = failure(response, token)
    if response.status == 403 and "not authorized" not in _text(response):
        return ConnectionRefused(str(found), status=403, body=getattr(found, "body", ""))
    return found


def _text(response: HttpResponse) -> str:
    return response.body.decode("utf-8", "replace")
