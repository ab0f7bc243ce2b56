"""Where definitions of modules come from beside a server: files, and packages that were generated before.

What a file should be and is not is the fault of the command that names it, unlike what a server gives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spacetimedb_proto.errors import DecodeError, RecordingError, SchemaError

if TYPE_CHECKING:
    from spacetimedb_proto.schema import Schema

    from ..bindings.generated import Bindings

__all__ = ["blaming_file", "file_schema", "package_bindings", "wasm_schema"]


@contextmanager
def blaming_file(path: Path) -> Generator[None]:
    """Have errors about what is in a file be those of the command line, with the file's name.

    Raises:
        typer.BadParameter: In their place.
    """
    try:
        yield
    except (DecodeError, RecordingError, SchemaError) as error:
        text = str(error)
        raise typer.BadParameter(text if text.startswith((str(path), path.name)) else f"{path}: {text}") from error


def file_schema(path: Path) -> Schema:
    """The definition in a file: what a server or `extract-schema` gives, of v9 or v10, bare or tagged.

    Raises:
        typer.BadParameter: It is none; the message says where.
        OSError: It cannot be read.
    """
    from spacetimedb_proto.schema import load_schema

    with blaming_file(path):
        return load_schema(path.read_bytes())


def wasm_schema(path: Path) -> Schema:
    """The definition that a compiled module gives of itself.

    Raises:
        typer.BadParameter: It is no module, or what runs it is not installed.
        OSError: It cannot be read.
    """
    try:
        read_schema: Callable[[Path], Schema] = import_module("spacetimedb_sdk.codegen.wasm").read_schema
        with blaming_file(path):
            return read_schema(path)
    except ModuleNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="--wasm") from None


def package_bindings(folder: Path) -> Bindings[Any, Any, Any]:
    """The bindings in a generated package.

    Args:
        folder: The package's directory. It is imported under its name.

    Raises:
        typer.BadParameter: There is no such package.
    """
    from ..bindings.generated import bindings_of
    from ..codegen.text import HEADER

    init = folder.resolve() / "__init__.py"
    if not init.is_file() or not init.read_text(encoding="utf-8", errors="replace").startswith(HEADER):
        raise typer.BadParameter(f"{folder}: expected a schema file, or a package that `generate` has written")
    sys.path.insert(0, str(init.parent.parent))
    try:
        return bindings_of(import_module(init.parent.name))
    except TypeError as error:
        raise typer.BadParameter(f"{folder}: {error}") from None
    finally:
        sys.path.pop(0)
