"""`reducers` and `procedures`: what can be called, with parameters and results."""

from __future__ import annotations

from .annotations import SDK, Annotations
from .plan import FunctionPlan, Kind, Plan
from .scope import Scope
from .text import class_head, doc, module_text, prose, signature
from .things import GENERATED, TYPED, collection, stand_ins

__all__ = ["functions_code", "functions_stub"]


def functions_code(plan: Plan, kind: Kind) -> str:
    """The module as it runs."""
    names = {function.name: kind.capitalize() for function in plan.functions(kind)}
    about = f"The {kind}s of the module. What they are to type checkers, `{kind}s.pyi` shows."
    return module_text([doc(about), "", GENERATED, "", *stand_ins({_collection(kind): "Things", **names})])


def _collection(kind: Kind) -> str:
    return f"{kind.capitalize()}s"


def functions_stub(plan: Plan, kind: Kind) -> str:
    """The module as type checkers see it."""
    functions = plan.functions(kind)
    own = [_collection(kind), *(function.name for function in functions)]
    scope = Scope(f".{kind}s", own, [function.attribute for function in functions])
    annotations = Annotations(plan, scope)
    body = [line for function in functions for line in _function(function, kind, annotations)]
    attributes = [function.attribute for function in functions]
    host = scope.name(TYPED, "Host_co", attributes)
    things = [(function.attribute, f"{scope.own(function.name, attributes)}[{host}]") for function in functions]
    element = scope.name(SDK, kind.capitalize())
    about = f"The {kind}s that clients may call: `conn.{kind}s`."
    body += collection(scope, _collection(kind), about, element, things)
    return module_text([doc(f"The {kind}s of the module."), "", *scope.imports(), *body])


def _function(function: FunctionPlan, kind: Kind, annotations: Annotations) -> list[str]:
    scope = annotations.scope
    typed, host = scope.module(TYPED), scope.name(TYPED, "Host_co")
    told = f"{scope.name('.connection', 'Context')}[{host}], " if kind == "reducer" else ""
    params = [f"{name}: {annotations.of(node, given=True)}" for name, node in function.params]
    returns = scope.name(SDK, "ReducerEvent") if function.returns is None else annotations.of(function.returns)
    return [
        *class_head(function.name, f"{typed}.{kind.capitalize()}[{told}{host}]"),
        f"    {doc(f'The {kind} `{prose(function.function.name)}`.')}",
        "",
        f"    @{typed}.call",
        *signature("    ", "def __call__", ["self", *params], returns),
        "",
    ]
