"""What a comparison of two definitions finds: differences, whom each of them breaks, and all of them in words."""

from __future__ import annotations

import enum
from collections.abc import Container
from typing import Final, Literal, TypeAlias

import attrs

from ..errors import SchemaMismatch

__all__ = ["Change", "Difference", "Drift", "Effect"]

Change: TypeAlias = Literal["added", "removed", "changed"]

_LINE: Final = 300
"""Characters of one difference in words: names and types are the server's, and may be of any length."""


class Effect(enum.Flag):
    """Whom a difference breaks. BSATN does not describe itself, so these are not the same (schema reference, 4).

    Attributes:
        NONE: Nobody: what was known is still true, or no client can notice.
        WIRE: A connection that keeps what it made of the known definition (codecs, keys, cache) would read or write
            wrong bytes, or keep rows wrongly.
        API: Code written or generated for the known definition, on a connection that works by the served one, would
            find something missing or of another form.
        BOTH: Either.
    """

    NONE = 0
    WIRE = enum.auto()
    API = enum.auto()
    BOTH = WIRE | API


@attrs.frozen(kw_only=True)
class Difference:
    """One thing in which a served definition is not the known one.

    Attributes:
        kind: What it is: `table`, `view`, `column`, `primary key`, `unique`, `index`, `auto increment`, `schedule`,
            `reducer`, `procedure`, `parameter`, `return type`, `type`, `field`, `variant`, `row-level security`.
        name: Which one: canonical names, the owner's first, as in `person.age`; those of the known definition.
        what: What became of it.
        before: What was known, in words; empty for what was added.
        after: What is served, in words; empty for what was removed.
        effect: Whom it breaks.
    """

    kind: str
    name: str
    what: Change
    before: str = ""
    after: str = ""
    effect: Effect = Effect.NONE

    @property
    def is_breaking(self) -> bool:
        """Whether it breaks anybody."""
        return self.effect is not Effect.NONE

    def __str__(self) -> str:
        words = f"{self.kind} {self.name} {self.what}"
        match self.what:
            case "added":
                words += f": {self.after}" if self.after else ""
            case "removed":
                words += f", was {self.before}" if self.before else ""
            case "changed":
                words += f" from {self.before} to {self.after}"
        words = "".join(char if char.isprintable() else "?" for char in words)
        return words if len(words) <= _LINE else words[:_LINE] + "…"


@attrs.frozen
class Drift:
    """How a served definition differs from a known one, in an order that depends on neither's order of things.

    `str()` gives one line per difference, those that break nobody included.
    """

    differences: tuple[Difference, ...] = ()

    @property
    def breaking(self) -> tuple[Difference, ...]:
        """The differences that break a connection or code."""
        return self.breaking_for(Effect.BOTH)

    @property
    def is_compatible(self) -> bool:
        """Whether nothing breaks: no connection with its old codecs, no code written for the known definition."""
        return not self.breaking

    @property
    def fits_wire(self) -> bool:
        """Whether a connection may go on with what it made of the known definition."""
        return not self.breaking_for(Effect.WIRE)

    @property
    def fits_bindings(self) -> bool:
        """Whether code written for the known definition fits a connection that works by the served one."""
        return not self.breaking_for(Effect.API)

    def breaking_for(self, effect: Effect) -> tuple[Difference, ...]:
        """The differences that break one of those named by `effect`."""
        return tuple(difference for difference in self.differences if difference.effect & effect)

    def in_use(self, tables: Container[str]) -> Drift:
        """The same for a connection that reads these tables: of one that is gone, it keeps what nobody will correct."""
        return Drift(
            tuple(
                attrs.evolve(each, effect=each.effect | Effect.WIRE)
                if each.kind in ("table", "view") and each.effect and each.name in tables
                else each
                for each in self.differences
            )
        )

    def with_rows_cut(self) -> Drift:
        """The same for a connection that cuts off what rows have behind the columns that it knows."""
        return Drift(
            tuple(
                attrs.evolve(each, effect=Effect.NONE)
                if (each.kind, each.what, each.effect) == ("column", "added", Effect.WIRE)
                else each
                for each in self.differences
            )
        )

    def raise_if_breaking(self, effect: Effect = Effect.BOTH, *, hint: str = "", most: int = 20) -> None:
        """Refuse to go on if something breaks.

        Args:
            effect: Who must not be broken.
            hint: What the reader can do about it, such as the command that cures it; the last line of the message.
            most: How many differences the message lists.

        Raises:
            SchemaMismatch: It lists the differences that break one of those.
        """
        found = self.breaking_for(effect)
        if not found:
            return
        lines = [f"- {difference}" for difference in found[:most]]
        if len(found) > most:
            lines.append(f"- and {len(found) - most} more")
        count = "1 difference" if len(found) == 1 else f"{len(found)} differences"
        head = f"the server's module is not the one that this client knows: {count}"
        raise SchemaMismatch("\n".join((head, *lines, *([hint] if hint else []))))

    def __str__(self) -> str:
        return "\n".join(map(str, self.differences)) or "no differences"
