"""A module definition as data: `load_schema` reads what a server answers, `dump_schema` writes it.

`load_raw_schema` reads what a compiled module carries.

What a definition says is in `model` and `definitions`; how it is written, in `v9`, `v10` and `types_json`; how two of
them differ, in `drift`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..door import door
from .definitions import Column, Function, Index, Param, Table
from .load import load_schema
from .model import Schema

if TYPE_CHECKING:
    from .differences import Difference, Drift, Effect
    from .drift import compare
    from .dump import dump_schema
    from .raw import load_raw_schema
else:
    __getattr__, __dir__ = door(
        __name__,
        {
            ".differences": ("Difference", "Drift", "Effect"),
            ".drift": ("compare",),  # only a reconnect and bindings compare
            ".dump": ("dump_schema",),  # only servers write definitions
            ".raw": ("load_raw_schema",),  # only generators read compiled modules
        },
    )

__all__ = [
    "Column",
    "Difference",
    "Drift",
    "Effect",
    "Function",
    "Index",
    "Param",
    "Schema",
    "Table",
    "compare",
    "dump_schema",
    "load_raw_schema",
    "load_schema",
]
