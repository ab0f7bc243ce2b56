"""`spacetimedb-sdk export` and `feed`: rows and changes into files."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .output import AsJson, console, errors, print_json
from .queries import Asked, is_name, subscribed
from .sources import blaming_file
from .target import Target, with_target

if TYPE_CHECKING:
    from ..blocking import Connection
    from ..export import ChangeFeed, Exported, OnExported
    from ..tabular import Tabular

__all__ = ["export", "feed"]

_DATABASES: Final = (".sqlite", ".db")
"""Ends of names of files that hold any number of tables."""


@with_target
def export(
    target: Target,
    *,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A file (.parquet, .csv, .jsonl, .sqlite, .db), or a folder with --format."),
    ],
    what: Asked = None,
    format_: Annotated[
        str | None, typer.Option("--format", "-f", help="What the folder's files are: parquet, csv or jsonl.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write rows to files. Each file appears as a whole."""
    suffix = None if format_ is None else _suffix(format_)
    with target.connect() as conn:
        rows = _asked_for(conn, what or [])
        _check_place(out, suffix, list(rows))
        with _progress() as tell:
            written = _write(rows, out, suffix, tell)
    for path, count in written.items():
        if as_json:
            print_json({"file": str(path), "rows": count})
        else:
            console().print(f"{path}: {count:,} rows", markup=False)


def _suffix(name: str) -> str:
    from ..export import FORMATS

    suffix = "." + name.lower().removeprefix(".")
    if suffix not in FORMATS or suffix in _DATABASES:
        files = ", ".join(known[1:] for known in FORMATS if known not in _DATABASES)
        raise typer.BadParameter(f"--format: expected one of {files}, got {name!r}")
    return suffix


def _check_place(out: Path, suffix: str | None, names: list[str]) -> None:
    """See that the files have somewhere to go, before anything is written.

    Raises:
        typer.BadParameter: They do not.
    """
    from ..export import FORMATS

    end = out.suffix.lower()
    if suffix is not None:
        if out.exists() and not out.is_dir():
            raise typer.BadParameter(f"--out: expected a folder beside --format, and {out} is a file")
    elif end not in FORMATS:
        raise typer.BadParameter(f"--out: expected a name that ends in {', '.join(FORMATS)}, or --format, got {out}")
    elif end not in _DATABASES and len(names) != 1:
        raise typer.BadParameter(
            f"--out: a {end} file holds one table, and these are {len(names)} ({', '.join(names) or 'none'}): "
            f"expected the name of one, a folder with --format, or a .sqlite file"
        )


def _asked_for(conn: Connection, what: list[str]) -> Mapping[str, Tabular]:
    """Rows by the names that their tables or files get."""
    tables = [words for words in what if is_name(words)]
    if tables or not what:
        subscribed(conn, tables)
    if not what:
        tables = [name for name, table in conn.schema.tables.items() if table.is_public and not table.is_event]
    rows: dict[str, Tabular] = {name: conn.db[name] for name in tables}
    queries = [words for words in what if words not in tables]
    for number, query in enumerate(queries, 1):
        rows["query" if len(queries) == 1 else f"query_{number}"] = conn.query(query)
    return rows


def _write(rows: Mapping[str, Tabular], out: Path, suffix: str | None, tell: OnExported) -> dict[Path, int]:
    from ..export import export as write_file
    from ..export import write_sqlite

    if suffix is None and out.suffix.lower() in _DATABASES:
        return {out: write_sqlite(rows, out, on_progress=tell)}
    if suffix is None:
        (only,) = rows.values()
        return {out: write_file(only, out, on_progress=tell)}
    out.mkdir(parents=True, exist_ok=True)
    files = {out / f"{name}{suffix}": table for name, table in rows.items()}
    return {path: write_file(table, path, on_progress=tell) for path, table in files.items()}


@contextmanager
def _progress() -> Generator[OnExported]:
    """Bars at a terminal, one for each table; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    screen = errors()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as progress:

        def tell(done: Exported) -> None:
            bar = bars.get(done.table)
            if bar is None:
                bar = bars[done.table] = progress.add_task(done.table, total=done.total)
            progress.update(bar, completed=done.rows)

        yield tell


@with_target
def feed(
    target: Target,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the feed is: .sqlite, .db or .jsonl.")],
    tables: Annotated[
        list[str] | None, typer.Argument(help="Names of tables; by default everything that is public.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Only write what is new since the last time.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write each transaction to a file, until Ctrl-C; started again, it goes on where it was."""
    from ..sql import select

    with _explained_database(out), _opened(out) as changes, target.connect() as conn:
        subscribed(conn, [select(name) for name in tables or ()])
        stream = changes.follow(conn)
        _tell_position(changes, as_json=as_json)
        if once:
            return
        for transaction in stream:
            before = changes.position
            changes.write(transaction)
            if changes.position > before:
                _tell_position(changes, as_json=as_json)


@contextmanager
def _explained_database(out: Path) -> Generator[None]:
    """Have errors of SQLite be those of the file.

    Raises:
        OSError: In their place.
    """
    from sqlite3 import Error

    try:
        yield
    except Error as error:
        raise OSError(f"{out}: {error}") from error


def _opened(path: Path) -> ChangeFeed:
    from ..export import JsonLinesFeed, SqliteFeed

    match path.suffix.lower():
        case ".sqlite" | ".db":
            return SqliteFeed(path)
        case ".jsonl" | ".ndjson":
            with blaming_file(path):
                return JsonLinesFeed(path)
        case _:
            raise typer.BadParameter(f"--out: expected a name that ends in .sqlite, .db or .jsonl, got {path}")


def _tell_position(changes: ChangeFeed, *, as_json: bool) -> None:
    if as_json:
        print_json({"position": changes.position})
    else:
        errors().print(f"position {changes.position:,}", markup=False)
