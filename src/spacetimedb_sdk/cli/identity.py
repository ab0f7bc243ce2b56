"""`spacetimedb-sdk identity`: who one is, and who else one could be."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spacetimedb_proto.errors import AuthenticationError, DecodeError

from .failures import ExitCode
from .output import AsJson, console, print_json
from .target import Target, with_target
from .values import text

if TYPE_CHECKING:
    from spacetimedb_proto.bsatn.values import Identity

__all__ = ["app"]

app = typer.Typer(help="Make identities, and see whose a token is.", no_args_is_help=True)

WhoseIdentity = Annotated[str, typer.Argument(metavar="IDENTITY", help="64 hex digits.")]


@app.command()
@with_target
def create(
    target: Target,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new file for the token, for you alone.")] = None,
    show_token: Annotated[
        bool, typer.Option("--show-token", help="Print the token, which is like a password.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new identity. Its token is the only way to be it, so say where that goes."""
    from ..private_files import create_private

    if out is None and not show_token:
        raise typer.BadParameter("the token would be lost: expected --out FILE or --show-token")
    if out is not None and out.exists():
        raise typer.BadParameter(f"{out} is there already, and is kept", param_hint="--out")
    with target.client(needs_database=False) as client:
        made = client.create_identity()
    if out is not None and not create_private(out, made.token.encode() + b"\n"):
        raise typer.BadParameter(f"{out} was made by somebody else meanwhile", param_hint="--out")
    told = {"identity": made.identity.hex(), **({"token": made.token} if show_token else {})}
    _tell({**told, **({"file": str(out)} if out is not None else {})}, as_json=as_json)


@app.command()
@with_target
def show(target: Target, *, as_json: AsJson = False) -> None:
    """Show who a token says one is, and whether the server takes it."""
    from spacetimedb_proto.jwt import has_expired, read_claims

    from ..tokens import fetch_now

    source = target.token
    token = None if source is None else fetch_now(source)
    if source is None or token is None:
        raise AuthenticationError("there is no token: expected --token-file, SPACETIMEDB_TOKEN or `spacetime login`")
    try:
        claims = read_claims(token)
    except DecodeError as error:
        raise AuthenticationError(f"{source.description}: {error}") from None
    told = {
        "source": source.description,
        "identity": claims.identity,
        "issuer": claims.issuer,
        "subject": claims.subject,
        "issued": _moment(claims.issued_at),
        "expires": _moment(claims.expires_at) or "never",
    }
    if has_expired(token, time.time()):
        _tell({**told, "server": "not asked: the token is too old"}, as_json=as_json)
        raise typer.Exit(ExitCode.AUTHENTICATION)
    with target.client(needs_database=False) as client:
        client.ping()
    _tell({**told, "server": f"{target.uri} takes it"}, as_json=as_json)


@app.command()
@with_target
def verify(target: Target, *, identity: WhoseIdentity, as_json: AsJson = False) -> None:
    """Have the server say whether the token is this identity's; the exit code is 5 if not."""
    with target.client(needs_database=False) as client:
        is_theirs = client.verify_identity(_identity(identity))
    _tell({"identity": identity, "is_yours": is_theirs}, as_json=as_json)
    if not is_theirs:
        raise typer.Exit(ExitCode.DIFFERENT)


@app.command()
@with_target
def databases(target: Target, *, identity: WhoseIdentity, as_json: AsJson = False) -> None:
    """List what an identity owns."""
    with target.client(needs_database=False) as client:
        found = [each.hex() for each in client.databases_of(_identity(identity))]
    if as_json:
        print_json(found)
    else:
        for each in found:
            console().print(each)


def _identity(digits: str) -> Identity:
    from spacetimedb_proto.bsatn.values import Identity

    try:
        return Identity.from_hex(digits)
    except DecodeError as error:
        raise typer.BadParameter(str(error), param_hint="IDENTITY") from None


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _tell(told: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        if value is not None:
            console().print(f"{name.replace('_', ' ')}: {text(value)}", markup=False)
