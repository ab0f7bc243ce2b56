"""What `doctor` looks at: each check is a function that gives findings, in words and with what to do about them."""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs
import typer

from spacetimedb_proto.errors import (
    AuthenticationError,
    ConnectError,
    DecodeError,
    SpacetimeDBError,
    UnsupportedProtocol,
)
from spacetimedb_proto.jwt import has_expired, needs_refresh, read_claims
from spacetimedb_proto.limits import MIB, Limits
from spacetimedb_proto.schema import Schema
from spacetimedb_proto.uri import Endpoint
from spacetimedb_transports.http_links import Unanswered

from .failures import ExitCode, code_of
from .probe import Probe
from .target import Target

__all__ = ["Finding", "Status", "examine"]

SAFE_VERSION: Final = (2, 10)
"""Before it, whoever knew the issuer and the subject of a token could be that identity, as was disclosed later."""

CLOCK_TOLERANCE: Final = 30.0
"""Seconds by which clocks may differ: as much as tokens are renewed before their end."""

PROTOCOLS: Final = ("v3.bsatn", "v2.bsatn", "v1.bsatn", "v1.json")

SERVER_MESSAGE: Final = 32
"""Mebibytes that the server takes in one message (protocol reference, 1.7)."""


class Status(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@attrs.frozen
class Finding:
    """What a check has found.

    Attributes:
        check: What was looked at.
        status: How it is.
        text: What was found.
        cure: What to do about it; empty where there is nothing to do.
        code: The exit code that a failure comes to.
    """

    check: str
    status: Status
    text: str
    cure: str = ""
    code: ExitCode = ExitCode.OK


class _Patient:
    """What the checks share, asked for once."""

    def __init__(self, target: Target, package: Path | None, now: Callable[[], float]) -> None:
        self.target = target
        self.package = package
        self.now = now
        self.endpoint = Endpoint.parse(target.uri)
        self.probe = Probe(self.endpoint, target.timeout, now)

    @cached_property
    def token(self) -> str | None:
        from ..tokens import fetch_now

        return None if self.target.token is None else fetch_now(self.target.token)

    @cached_property
    def schema(self) -> Schema:
        from ..http import BlockingHttpClient

        with BlockingHttpClient(
            self.target.uri, self.target.name, token=self.token, timeout=self.target.timeout
        ) as client:
            return client.schema()


_Check = Callable[[_Patient], Iterator[Finding]]


def examine(target: Target, package: Path | None = None, *, now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Look at everything that can be looked at, and tell each finding as soon as there is one.

    Args:
        target: Which server and perhaps database, and as whom.
        package: A generated package that should fit the database's module.
        now: Seconds since 1970.
    """
    patient = _Patient(target, package, now)
    try:
        reached = list(_reach(patient))
        yield from reached
        for name, check in _HERE.items():
            yield from _safely(name, check, patient)
        if any(finding.status is Status.FAILURE for finding in reached):
            return
        for name, check in (_OF_SERVER | (_OF_DATABASE if target.database else {})).items():
            yield from _safely(name, check, patient)
    finally:
        patient.probe.close()


def _safely(name: str, check: _Check, patient: _Patient) -> Iterator[Finding]:
    try:
        yield from check(patient)
    except SpacetimeDBError as error:
        yield Finding(name, Status.FAILURE, str(error), _cure(error), code_of(error))
    except typer.BadParameter as error:  # about a file; the other checks have been done all the same
        yield Finding(name, Status.FAILURE, error.message, code=ExitCode.USAGE)


def _cure(error: SpacetimeDBError) -> str:
    if isinstance(error, AuthenticationError):
        return "get another token: `spacetime login`, or `spacetimedb-sdk identity create`"
    if isinstance(error, ConnectError) and error.status == 404:
        return "look at the name: --database or SPACETIMEDB_DATABASE; is it published on this server?"
    return ""


# --- without a database -----------------------------------------------------------------------------------------------


def _reach(patient: _Patient) -> Iterator[Finding]:
    where = patient.target.uri
    answers = [patient.probe.ping()]
    answer = answers[0][0]
    if isinstance(answer, Unanswered):
        cure = "is it running, and is the address right? --uri or SPACETIMEDB_URI"
        yield Finding("server", Status.FAILURE, f"{where}: {answer.reason}", cure, ExitCode.NO_CONNECTION)
        return
    if answer.status != 200:
        text = f"{where} answers, but with {answer.status} to a ping"
        yield Finding("server", Status.FAILURE, text, "is this a SpacetimeDB server?", ExitCode.REFUSED)
        return
    answers += [patient.probe.ping() for _ in range(2)]
    quickest = min(seconds for _, seconds in answers) * 1000
    yield Finding("server", Status.OK, f"{where} answers in {quickest:.1f} ms, the quickest of {len(answers)}")


def _encryption(patient: _Patient) -> Iterator[Finding]:
    if patient.endpoint.is_tls:
        yield Finding("encryption", Status.OK, "TLS, and the server's certificate is verified")
    elif patient.endpoint.is_loopback:
        yield Finding("encryption", Status.OK, "none, on this machine")
    else:
        text = "none: rows and tokens can be read on their way"
        yield Finding("encryption", Status.WARNING, text, "use https:// if the server has it")


def _compression(_: _Patient) -> Iterator[Finding]:
    from spacetimedb_proto.wire.compression import available

    if "brotli" in available():
        yield Finding("compression", Status.OK, "brotli is installed")
    else:
        cure = "pip install 'spacetimedb-sdk[brotli]'"
        yield Finding("compression", Status.WARNING, "brotli is not installed, so gzip is used", cure)


def _limits(_: _Patient) -> Iterator[Finding]:
    ours = Limits()
    most, inflated = ours.message_size // MIB, ours.decompressed_size // MIB
    text = f"messages may have {most:,} MiB, or {inflated:,} inflated; the server takes {SERVER_MESSAGE} MiB"
    yield Finding("limits", Status.OK, text)


def _version(patient: _Patient) -> Iterator[Finding]:
    version = patient.probe.version()
    match = re.match(r"(\d{1,9})\.(\d{1,9})", version or "")
    if version is None or match is None:
        yield Finding("version", Status.OK, "the server does not say")
    elif (int(match[1]), int(match[2])) < SAFE_VERSION:
        text = f"{version}: whoever knows issuer and subject of a token can be that identity"
        yield Finding("version", Status.WARNING, text, "update the server to 2.10 or newer")
    else:
        yield Finding("version", Status.OK, version)


def _token(patient: _Patient) -> Iterator[Finding]:
    source, token = patient.target.token, patient.token
    if source is None or token is None:
        yield Finding("token", Status.OK, "none: whoever connects gets a new identity")
        return
    try:
        expires_at = read_claims(token).expires_at
    except DecodeError as error:
        raise AuthenticationError(f"{source.description}: {error}") from None
    ends = "never ends" if expires_at is None else f"ends {datetime.fromtimestamp(expires_at, UTC).isoformat()}"
    now = patient.now()
    if has_expired(token, now):
        raise AuthenticationError(f"{source.description}: too old: it {ends.replace('ends', 'ended')}")
    answer, _ = patient.probe.ping(token)
    if not isinstance(answer, Unanswered) and answer.status in (401, 403):
        raise AuthenticationError(f"{source.description}: the server refuses it ({answer.status})")
    status = Status.WARNING if needs_refresh(token, now) else Status.OK
    cure = "fetch another one soon" if status is Status.WARNING else ""
    yield Finding("token", status, f"{source.description}: the server takes it, and it {ends}", cure)


# --- with one ---------------------------------------------------------------------------------------------------------


def _database(patient: _Patient) -> Iterator[Finding]:
    from ..http import BlockingHttpClient

    with BlockingHttpClient(patient.target.uri, patient.target.name, timeout=patient.target.timeout) as client:
        info = client.info()
    yield Finding("database", Status.OK, f"{patient.target.name} is {info.identity.hex()}, run as {info.host_type}")


def _clock(patient: _Patient) -> Iterator[Finding]:
    ahead = patient.probe.clock_difference(patient.target.name)
    if ahead is None:
        yield Finding("clock", Status.OK, "the server does not say what time it has")
    elif abs(ahead) > CLOCK_TOLERANCE:
        text = f"the server's is {abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}"
        yield Finding("clock", Status.WARNING, text, "set the clocks: tokens may seem too old, or too new")
    else:
        yield Finding("clock", Status.OK, f"less than {CLOCK_TOLERANCE:.0f} s from the server's")


def _schema(patient: _Patient) -> Iterator[Finding]:
    schema = patient.schema
    counts = (("table", schema.tables), ("reducer", schema.reducers), ("procedure", schema.procedures))
    text = ", ".join(f"{len(each)} {name}{'s' * (len(each) != 1)}" for name, each in counts)
    if schema.notes:
        cure = "an SDK that is newer may know it"
        yield Finding("schema", Status.WARNING, f"{text}; left out: {'; '.join(schema.notes)}", cure)
    else:
        yield Finding("schema", Status.OK, f"{text}, as version {schema.version}")


def _protocols(patient: _Patient) -> Iterator[Finding]:
    from ..blocking import connect

    spoken: list[str] = []
    target = patient.target
    for protocol in PROTOCOLS:
        try:
            connect(
                target.uri,
                target.name,
                token=patient.token,
                protocols=[protocol],
                reconnect=None,
                timeout=target.timeout,
            ).close()
            spoken.append(protocol)
        except UnsupportedProtocol:
            pass
    if spoken:
        yield Finding("protocols", Status.OK, f"the server speaks {', '.join(spoken)}")
    else:
        text = f"the server speaks none of {', '.join(PROTOCOLS)}"
        yield Finding("protocols", Status.FAILURE, text, "is there a newer SDK?", ExitCode.REFUSED)


def _bindings(patient: _Patient) -> Iterator[Finding]:
    from .diff import drift_of

    if patient.package is None:
        return
    drift = drift_of(patient.package, patient.schema)
    cure = f"spacetimedb-sdk generate --out {patient.package}"
    if not drift.fits_bindings:
        count = sum(1 for each in drift.differences if each.is_breaking)
        text = f"{patient.package} does not fit the module: {count} differences"
        yield Finding("bindings", Status.FAILURE, text, f"{cure}; `diff` lists them", ExitCode.DIFFERENT)
    elif drift.differences:
        text = f"{patient.package} fits, and does not know all of the module"
        yield Finding("bindings", Status.WARNING, text, cure)
    else:
        yield Finding("bindings", Status.OK, f"{patient.package} is up to date")


_HERE: Final[dict[str, _Check]] = {"encryption": _encryption, "compression": _compression, "limits": _limits}
_OF_SERVER: Final[dict[str, _Check]] = {"version": _version, "token": _token}
_OF_DATABASE: Final[dict[str, _Check]] = {
    "database": _database,
    "clock": _clock,
    "schema": _schema,
    "protocols": _protocols,
    "bindings": _bindings,
}
