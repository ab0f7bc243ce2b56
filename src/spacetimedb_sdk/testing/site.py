"""One server without its links: the database that is served, and who its clients are.

Statuses and texts are the real server's (protocol reference, 1.5). What is asked over HTTP is `api.py`'s to answer, and
what happens on a link is `service.py`'s.
"""

from __future__ import annotations

import re
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Literal, Protocol, TypeAlias, get_args

import attrs

from spacetimedb_proto.bsatn.values import ConnectionId, Identity, Timestamp
from spacetimedb_proto.errors import AuthenticationError
from spacetimedb_proto.handshake import offered_protocols
from spacetimedb_proto.http import HttpRequest
from spacetimedb_proto.websocket import UpgradeRequest
from spacetimedb_proto.wire import PROTOCOLS

from .database import Database
from .faults import Faults, Plan
from .module import DATABASE_NAME, Module, check_module
from .requests import Headers, Refusal, header_of
from .sessions import Holder, Sessions
from .tokens import TokenIssuer, derive_identity

__all__ = ["SERVED_PROTOCOLS", "Credentials", "OpenLink", "Release", "Site"]

SERVED_PROTOCOLS: Final = ("v3.bsatn", "v2.bsatn", "v1.bsatn", "v1.json")

Release: TypeAlias = Literal["2.8", "2.14"]
"""Of the real server. What 2.14 has more came with 2.11 (protocol reference, 8)."""

SHORT_LIFE: Final = 60
"""Seconds that a token for the address of a WebSocket lives (protocol reference, 1.4)."""

_IDENTITY: Final = re.compile("(?:0x)?([0-9a-fA-F]{64})")


class OpenLink(Holder, Protocol):
    """What a site asks of its links."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a Close frame."""

    def leave(self) -> None:
        """See the client off, if there is one and it has not left."""


@attrs.frozen
class Credentials:
    """Who somebody is, and by what token.

    Attributes:
        subject: Whom the token is about.
        token: In full, so nothing to be shown.
    """

    subject: str
    token: str = attrs.field(repr=False)

    @property
    def identity(self) -> Identity:
        """The identity that it stands for."""
        return derive_identity(self.subject)

    @property
    def headers(self) -> Headers:
        """What every answer about a database tells (protocol reference, 1.5)."""
        return [("spacetime-identity", self.identity.hex()), ("spacetime-identity-token", self.token)]


class Site:
    """What all links of one server share.

    Args:
        database: The one that is served first.
        random_bytes: Makes that many random bytes, for ids and for the secret that tokens are signed with.
        protocols: Subprotocols that clients may ask for, short names allowed. The newest that they know is taken.
        release: Whose manners it has: a server of 2.8, which knows neither SubscribeBatch nor sessions, or of 2.14.

    Attributes:
        protocols: Full names, in the order of preference.
        release: As given.
        sessions: Which links hold which.
        plan: The faults that have not happened yet.
        faults: What adds some: see `Faults`.

    Raises:
        LocalProtocolError: One of the protocols is unknown.
        ValueError: There is no such release here.
    """

    def __init__(
        self,
        database: Database,
        *,
        random_bytes: Callable[[int], bytes],
        protocols: Sequence[str] = SERVED_PROTOCOLS,
        release: Release = "2.14",
    ) -> None:
        self._database = database
        self._wake: Callable[[Timestamp], None] | None = None
        offered = offered_protocols(protocols)
        if release not in get_args(Release):
            raise ValueError(f"release: expected one of {', '.join(get_args(Release))}, got {release!r}")
        self.release: Release = release
        self.protocols = tuple(name for name in PROTOCOLS if name in offered)
        self.sessions = Sessions()
        self.plan = Plan()
        self.faults = Faults(self.plan, lambda act: act())
        self.links: dict[OpenLink, None] = {}
        self._refusals: deque[Refusal] = deque()
        self._random_bytes = random_bytes
        self._issuer = self._new_issuer()

    @property
    def database(self) -> Database:
        """The one that is served now."""
        return self._database

    @database.setter
    def database(self, database: Database) -> None:
        self._database = database
        if self._wake is not None:
            database.on_due(self._wake)

    # --- what is scheduled --------------------------------------------------------------------------------------------

    def on_due(self, wake: Callable[[Timestamp], None]) -> None:
        """Set what to call with the time when `run_due` is to be called; see `Database.on_due`.

        In virtual time that is `site.on_due(lambda due: network.call_at(due.micros / 1_000_000, site.run_due))`.
        """
        self._wake = wake
        self.database.on_due(wake)

    def run_due(self) -> None:
        """Run the scheduled functions whose time has come; see `Database.run_due`."""
        self.database.run_due()

    def new_connection_id(self) -> ConnectionId:
        """A connection id that nobody has."""
        return ConnectionId.from_wire(self._random_bytes(16))

    # --- what happens to servers --------------------------------------------------------------------------------------

    def restart(self, *, keep_rows: bool = True, keep_tokens: bool = True, crash: bool = False) -> None:
        """End all links, and go on as a server does that was stopped and started again.

        When this returns all clients have been seen off; what they still send is ignored.

        Args:
            keep_rows: Whether the database is as it was; if not, it begins anew, with what `init` puts into it.
            keep_tokens: Whether tokens are still good; if not, they are refused with 401 from here on.
            crash: Whether links end without a Close frame; otherwise it is 1001 `module exited`.

        Raises:
            Exception: What `init` raised. Then nothing has happened.
        """
        database = self.database if keep_rows else Database(self.database.module, clock=self.database.clock)
        self._end_links(crash=crash)
        self.database = database
        if not keep_tokens:
            self._issuer = self._new_issuer()

    def republish(self, module: Module, *, keep_rows: bool = True) -> None:
        """Serve another version of the module, and end all links with 1001, as if it could break clients.

        The real server spares them when it cannot (protocol reference, trap 39); this one never does. If rows stay, the
        new version's `client_disconnected` sees the clients off.

        Args:
            module: The new version, of the same name.
            keep_rows: Whether the rows stay, as they do unless a module is published with its data cleared; if not,
                the database begins anew, with what `init` puts into it.

        Raises:
            ValueError: The name is another, or rows are to stay that do not fit. Then nothing has happened, nor after
                the other errors.
            ConstraintError: Rows are to stay that do not meet a new constraint.
            TypeError: It is no module, or something in it is declared wrongly.
            Exception: What `init` raised.
        """
        check_module(module)
        old = self.database
        if module.name != old.name:
            raise ValueError(f"module: expected another version of `{old.name}`, got `{module.name}`")
        database = Database(module, clock=old.clock, rows_of=old if keep_rows else None)
        if keep_rows:
            # What seeing clients off changes is to stay, too. After the older version changed rows they might not fit.
            old.bequeath(database)
        self._end_links()
        self.database = database

    def _end_links(self, *, crash: bool = False) -> None:
        links = list(self.links)
        for link in links:
            if crash:
                link.drop()
            else:
                link.close(1001, "module exited")
        for link in links:  # later, so that nobody learns of the others' end
            link.leave()

    def refuse_next(self, count: int = 1, status: int = HTTPStatus.SERVICE_UNAVAILABLE, text: str = "") -> None:
        """Refuse handshakes before anything else is looked at, as a proxy does whose server is away.

        Args:
            count: How many of them; they add up with those of earlier calls, and come after them.
            status: Of the answer.
            text: Its body.
        """
        self._refusals.extend(Refusal(status, text) for _ in range(count))

    def check_open(self) -> None:
        """See that a handshake is not to be refused whatever it asks for.

        Raises:
            Refusal: It is.
        """
        if self._refusals:
            raise self._refusals.popleft()

    def _new_issuer(self) -> TokenIssuer:
        return TokenIssuer(self._random_bytes(32), writes_null=self.release == "2.8")

    # --- who asks -----------------------------------------------------------------------------------------------------

    def newcomer(self) -> Credentials:
        """A new anonymous identity and the only token for it."""
        subject = str(uuid.UUID(bytes=self._random_bytes(16), version=4))
        return Credentials(subject, self._issuer.issue(subject, self.database.clock()))

    @property
    def owner(self) -> Credentials:
        """Who owns the database; the token is as good as the site's other ones."""
        subject = self.database.owner
        return Credentials(subject, self._issuer.issue(subject, self.database.clock()))

    def short_token(self, known: Credentials) -> str:
        """Another token for somebody, for the address of a WebSocket (protocol reference, 1.4)."""
        return self._issuer.issue(known.subject, self.database.clock(), SHORT_LIFE)

    def _known(self, token: str) -> Credentials:
        return Credentials(self._issuer.subject(token, self.database.clock()), token)

    def authenticate(self, request: HttpRequest | UpgradeRequest, params: Mapping[str, str]) -> Credentials:
        """Who sent a request; somebody new if it does not say (protocol reference, 1.4)."""
        header = header_of(request, "authorization")
        if header is None and "token" not in params:
            return self.newcomer()
        scheme, _, token = (header or "").partition(" ")
        if header is not None and (scheme.lower() != "bearer" or not token.strip()):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Authorization is invalid: malformed token")
        try:
            return self._known(token.strip() if header is not None else params["token"])
        except AuthenticationError as error:
            raise Refusal(HTTPStatus.UNAUTHORIZED, str(error)) from error

    def check_database(self, name: str, unknown_identity: HTTPStatus) -> None:
        """See that a name or identity in a path means the database of this site; refuse the request if not."""
        match = _IDENTITY.fullmatch(name)
        if match is not None:
            if Identity.from_hex(match[1]) != self.database.identity:
                raise Refusal(unknown_identity, "No such database.")
        elif DATABASE_NAME.fullmatch(name) is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"`{name}` is no database name")
        elif name != self.database.name:
            raise Refusal(HTTPStatus.NOT_FOUND, f"`{name}` not found")
