"""Expressions in C++: a gradient rule called with them writes the body of its fused backward kernel."""

from __future__ import annotations

import math
import re
from typing import Any

_FLOAT_LITERAL = re.compile(r"(?<![\w.])(\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)(?![\w.])")


class Expr:
    """A value inside a pointwise kernel, as C++ text. Operators build longer text."""

    __slots__ = ("text",)
    __array_ufunc__ = None  # numpy must not try

    def __init__(self, text: str):
        self.text = text

    def _binary(self, other: Any, op: str, swap: bool = False) -> Expr:
        a, b = self.text, literal(other)
        return Expr(f"({b} {op} {a})" if swap else f"({a} {op} {b})")

    def __add__(self, other: Any) -> Expr:
        return self._binary(other, "+")

    def __radd__(self, other: Any) -> Expr:
        return self._binary(other, "+", True)

    def __sub__(self, other: Any) -> Expr:
        return self._binary(other, "-")

    def __rsub__(self, other: Any) -> Expr:
        return self._binary(other, "-", True)

    def __mul__(self, other: Any) -> Expr:
        return self._binary(other, "*")

    def __rmul__(self, other: Any) -> Expr:
        return self._binary(other, "*", True)

    def __truediv__(self, other: Any) -> Expr:
        return self._binary(other, "/")

    def __rtruediv__(self, other: Any) -> Expr:
        return self._binary(other, "/", True)

    def __pow__(self, other: Any) -> Expr:
        return Expr(f"pow({self.text}, {literal(other)})")

    def __neg__(self) -> Expr:
        return Expr(f"(-{self.text})")

    def __lt__(self, other: Any) -> Expr:
        return self._binary(other, "<")

    def __le__(self, other: Any) -> Expr:
        return self._binary(other, "<=")

    def __gt__(self, other: Any) -> Expr:
        return self._binary(other, ">")

    def __ge__(self, other: Any) -> Expr:
        return self._binary(other, ">=")

    def __eq__(self, other: Any) -> Any:
        return self._binary(other, "==")

    def __ne__(self, other: Any) -> Any:
        return self._binary(other, "!=")

    def __and__(self, other: Any) -> Expr:
        return self._binary(other, "&&")

    def __or__(self, other: Any) -> Expr:
        return self._binary(other, "||")

    __hash__ = object.__hash__


def literal(value: Any) -> str:
    """A number or Expr as text of type C."""
    if isinstance(value, Expr):
        return value.text
    value = float(value)
    if math.isnan(value):
        return "(infinity<C>() - infinity<C>())"
    if math.isinf(value):
        return "infinity<C>()" if value > 0 else "(-infinity<C>())"
    return f"C({value!r})"


def substitute(template: str, names: dict[str, str]) -> str:
    """Puts `names` into a C++ template; floating literals become C(…), lest float arithmetic turn double."""
    text = _FLOAT_LITERAL.sub(r"C(\1)", template)
    return (
        re.sub(r"\b(" + "|".join(map(re.escape, names)) + r")\b", lambda m: names[m[1]], text)
        if names
        else text
    )
