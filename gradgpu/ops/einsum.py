"""Sums of products in Einstein's notation, made of permutations and batched matrix products."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from ..tensor import Tensor
from .linalg import matmul

__all__ = ["einsum"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SPARE = "ⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟ"  # labels for the dimensions of an ellipsis, the last one first


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums products of elements along labelled dimensions.

    Args:
        equation: one letter a dimension, operands separated by commas, `->` and the output's labels; `...` stands for
            dimensions that broadcast. Without `->` the output has the labels that occur once, in alphabetical order.
        operands: tensors of one dtype (or one list of them). They are multiplied from left to right.

    Instead of an equation each operand may be followed by a list of its labels as numbers from 0 to 51 (`...` is an
    Ellipsis), and the last one by that of the output.

    Raises:
        RuntimeError: the equation does not fit the operands.

    >>> import gradgpu as gg
    >>> gg.einsum("ij,jk->ik", gg.ones(2, 3), gg.ones(3, 2))
    tensor([[3., 3.],
            [3., 3.]])
    >>> gg.einsum("bhqd,bhkd->bhqk", gg.ones(2, 4, 5, 8), gg.ones(2, 4, 7, 8)).shape
    gradgpu.Size([2, 4, 5, 7])
    """
    if isinstance(equation, Tensor):
        equation, operands = _equation((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    for x in operands:
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum: operands must be Tensors, got {type(x).__name__}")
    inputs, output = _parse(equation, tuple([x._a.shape for x in operands]))
    terms = [_simplify(labels, x) for labels, x in zip(inputs, operands)]
    while True:
        later = set(output).union(*(labels for labels, _ in terms[1:]))
        terms[0] = _sum_out(*terms[0], later)
        if len(terms) == 1:
            break
        needed = set(output).union(*(labels for labels, _ in terms[2:]))
        second = _sum_out(*terms[1], needed | set(terms[0][0]))
        terms[:2] = [_contract(terms[0], second, needed)]
    labels, x = terms[0]
    missing = [label for label in output if label not in labels]  # dimensions of size 1
    if missing:
        x = x.reshape(*x.shape, *(1 for _ in missing))
    labels += "".join(missing)
    order = [labels.index(label) for label in output]
    return x if order == sorted(order) else x.permute(*order)


def _equation(given: tuple) -> tuple[str, tuple]:
    """The equation, and the operands, of operands with lists of labels."""
    labels = [
        "".join("..." if n is Ellipsis else _LETTERS[_label(n)] for n in subscripts)
        for subscripts in (*given[1::2], *(given[-1:] if len(given) % 2 else ()))
    ]
    count = len(given) // 2
    arrow = "->" + labels[-1] if len(given) % 2 else ""
    return ",".join(labels[:count]) + arrow, given[: 2 * count : 2]


def _label(n: Any) -> int:
    if not isinstance(n, int) or not 0 <= n < len(_LETTERS):
        raise ValueError(
            f"einsum: subscripts must be numbers from 0 to {len(_LETTERS) - 1} or an Ellipsis, got {n!r}"
        )
    return n


@lru_cache(maxsize=1024)
def _parse(equation: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[list[str], str]:
    """Labels of every operand and of the output, ellipses written out, for operands of these shapes, which must fit."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise RuntimeError(f"einsum: {equation!r} has {len(parts)} operands, but {len(shapes)} were given")
    widest = ""
    inputs = []
    for part, shape in zip(parts, shapes):
        if "..." in part:
            extra = len(shape) - len(part) + 3
            if extra < 0 or extra > len(_SPARE):
                raise RuntimeError(f"einsum: {part!r} has too many labels for an operand of shape {shape}")
            spare = _SPARE[:extra][::-1]
            widest = max(widest, spare, key=len)
            part = part.replace("...", spare)
        if any(not c.isalpha() and c not in _SPARE for c in part):
            raise RuntimeError(f"einsum: labels must be letters, got {part!r} in {equation!r}")
        if len(part) != len(shape):
            raise RuntimeError(
                f"einsum: {part!r} names {len(part)} dimensions, but the operand has {len(shape)}: {shape}; "
                "write ... for the others"
            )
        inputs.append(part)
    if arrow:
        output = right.replace("...", widest)
        for label in output:
            if output.count(label) > 1 or all(label not in labels for labels in inputs):
                raise RuntimeError(
                    f"einsum: output label {label!r} of {equation!r} is repeated or in no operand"
                )
    else:
        every = "".join(inputs)
        output = widest + "".join(c for c in sorted(set(every)) if every.count(c) == 1 and c not in widest)
    sizes: dict[str, int] = {}
    for labels, shape in zip(inputs, shapes):
        for label, n in zip(labels, shape):
            if sizes.setdefault(label, n) == 1:
                sizes[label] = n
            elif n not in (1, sizes[label]):
                raise RuntimeError(
                    f"einsum: label {label!r} of {equation!r} has size {sizes[label]} in one operand and {n} in another; "
                    f"the shapes are {list(shapes)}"
                )
    return inputs, output


def _simplify(labels: str, x: Tensor) -> tuple[str, Tensor]:
    """Takes diagonals of repeated labels and drops dimensions of size 1, which broadcast."""
    for label in dict.fromkeys(labels) if len(set(labels)) < len(labels) else ():
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = x.diagonal(0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + label
    if 1 in x._a.shape:
        kept = [i for i, n in enumerate(x.shape) if n != 1]
        x = x.reshape(*(x.shape[i] for i in kept))
        labels = "".join(labels[i] for i in kept)
    return labels, x


def _sum_out(labels: str, x: Tensor, needed: set[str]) -> tuple[str, Tensor]:
    """Sums over the dimensions that nobody else names."""
    over = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not over:
        return labels, x
    return "".join(label for label in labels if label in needed), x.sum(over)


def _contract(first: tuple[str, Tensor], second: tuple[str, Tensor], needed: set[str]) -> tuple[str, Tensor]:
    """The product of two terms, summed over labels that both have and nobody needs: one batched matrix product."""
    (a_labels, a), (b_labels, b) = first, second
    both = [label for label in a_labels if label in b_labels]
    batch = [label for label in both if label in needed]
    over = [label for label in both if label not in needed]
    rows = [label for label in a_labels if label not in both]
    columns = [label for label in b_labels if label not in both]
    size = dict(zip(a_labels + b_labels, (*a.shape, *b.shape)))

    def count(labels: list[str]) -> int:
        return prod(size[label] for label in labels)

    def ordered(labels: str, x: Tensor, groups: list[list[str]]) -> Tensor:
        order = [labels.index(label) for group in groups for label in group]
        if order != sorted(order):
            x = x.permute(*order)
        return shaped(x, [count(group) for group in groups])

    def shaped(x: Tensor, shape: list[int]) -> Tensor:
        return x if x._a.shape == tuple(shape) else x.reshape(shape)

    result = "".join(batch + rows + columns)
    shape = [size[label] for label in result]
    if not over:
        left, right = ordered(a_labels, a, [batch, rows, []]), ordered(b_labels, b, [batch, [], columns])
        return result, shaped(left * right, shape)
    several = [batch] if batch else []
    left = ordered(a_labels, a, [*several, rows, over])
    right = ordered(b_labels, b, [*several, over, columns])
    return result, shaped(matmul(left, right), shape)
