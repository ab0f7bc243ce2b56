"""Annotations and parameters of what users write, even where they name what does not exist yet, or never will.

Since Python 3.14 annotations are evaluated when somebody asks for them (PEP 649). What fails then is given as a
`ForwardRef`, so that nobody has to mind those that do not matter.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

if sys.version_info >= (3, 14):
    import annotationlib

__all__ = ["annotations_of", "parameters_of"]


def annotations_of(thing: type[Any] | Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a class, those that it inherits excluded, or of a function; texts stay texts."""
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(thing, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(thing)


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function by name, in order.

    Raises:
        ValueError: It does not say which it has, as some functions that are not written in Python.
        TypeError: It is no function.
    """
    if sys.version_info >= (3, 14):
        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF).parameters
    return inspect.signature(function).parameters
