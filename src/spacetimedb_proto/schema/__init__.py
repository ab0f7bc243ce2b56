"""A module definition as data: `load_schema` reads what a server answers, `dump_schema` writes it.

What a definition says is in `model` and `definitions`; how it is written, in `v9`, `v10` and `types_json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..door import door
from .definitions import Column, Function, Index, Param, Table
from .load import load_schema
from .model import Schema

if TYPE_CHECKING:
    from .dump import dump_schema
else:
    __getattr__, __dir__ = door(__name__, {".dump": ("dump_schema",)})  # only servers write definitions

__all__ = ["Column", "Function", "Index", "Param", "Schema", "Table", "dump_schema", "load_schema"]
