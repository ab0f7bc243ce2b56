"""`reducers` and `procedures`: what can be called, with parameters and results."""

from __future__ import annotations

from .annotations import SDK, Annotations
from .plan import FunctionPlan, Kind, Plan
from .scope import Scope
from .text import class_head, doc, module_text, prose, signature
from .things import GENERATED, TYPED, stand_ins

__all__ = ["functions_code", "functions_stub"]


def functions_code(kind: Kind) -> str:
    """The module as it runs."""
    about = f"The {kind}s of the module. What they are to type checkers, `{kind}s.pyi` shows."
    return module_text([doc(about), "", GENERATED, "", *stand_ins({_collection(kind): "Things"})])


def _collection(kind: Kind) -> str:
    return f"{kind.capitalize()}s"


def functions_stub(plan: Plan, kind: Kind) -> str:
    """The module as type checkers see it."""
    functions = plan.functions(kind)
    collection, attributes = _collection(kind), [function.attribute for function in functions]
    scope = Scope(f".{kind}s", [collection], attributes)
    annotations = Annotations(plan, scope)
    body = [
        *class_head(collection, *_bases(kind, scope)),
        f"    {doc(f'The {kind}s that clients may call: `conn.{kind}s`.')}",
        "",
        *(line for function in functions for line in _function(function, kind, annotations, attributes)),
    ]
    return module_text([doc(f"The {kind}s of the module."), "", *scope.imports(), *body])


def _bases(kind: Kind, scope: Scope) -> list[str]:
    """What the collection is a subclass of, in terms of its host and of what that tells callbacks of reducers."""
    typed, host = f"{scope.module(TYPED)}.{_collection(kind)}", scope.name(TYPED, "Host_co")
    if kind == "procedure":
        return [f"{typed}[{host}]"]
    told, context = scope.name(TYPED, "Told_co"), scope.name(".connection", "Context")
    return [f"{typed}[{context}[{told}], {host}]", f"{scope.name('typing', 'Generic')}[{told}, {host}]"]


def _function(function: FunctionPlan, kind: Kind, annotations: Annotations, attributes: list[str]) -> list[str]:
    scope = annotations.scope
    params = [f"{name}: {annotations.of(node, attributes, given=True)}" for name, node in function.params]
    returns = (
        scope.name(SDK, "ReducerEvent", attributes)
        if function.returns is None
        else annotations.of(function.returns, attributes)
    )
    return [
        f"    @{scope.module(TYPED)}.{kind}",
        *signature("    ", f"def {function.attribute}", ["self", *params], returns, ":"),
        f"        {doc(f'The {kind} `{prose(function.function.name)}`.')}",
        "",
    ]
