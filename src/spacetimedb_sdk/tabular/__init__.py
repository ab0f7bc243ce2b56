"""Rows as columns: Arrow, polars and pandas.

`exits.py` has what users call, `types.py` says which Arrow type a type of the module becomes, `blocks.py` makes columns
of the bytes of rows, `objects.py` of Python values, and `plain.py` makes JSON of what has no columns of its own. Only
the first is imported before somebody asks for columns.
"""

from .exits import Held, Rows, Tabular

__all__ = ["Held", "Rows", "Tabular"]
