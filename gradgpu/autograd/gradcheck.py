"""Derivatives held against finite differences.

`gradcheck` compares the gradient that the tape computes with central differences of the function;
`gradgradcheck` does the same for the gradient itself. The slow mode compares whole Jacobians, entry
by entry; the fast mode compares a random projection v·J·u for each output, at the cost of two calls
of the function and one backward an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` and `gradgradcheck` where a derivative is wrong."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check gradients computed by the tape, and derivatives computed in forward mode, against central differences.

    Args:
        func: function of the inputs that returns a tensor or a tuple of tensors. It is called many
            times and must give the same result for the same inputs.
        inputs: its arguments; those that are floating or complex tensors with `requires_grad` are checked,
            and should be float64 or complex128: differences have about half of the digits of the dtype. Complex
            numbers, also in results, are checked as pairs of real ones.
        eps: step of the differences, (f(x + eps) - f(x - eps)) / (2 eps).
        atol, rtol: an entry passes if |analytical - numerical| <= atol + rtol * |numerical|.
        raise_exception: raise `GradcheckError` on a failure, instead of returning False.
        nondet_tol: how far two backward passes through one graph may differ.
        check_undefined_grad: of a function with several outputs, that a gradient that does not arrive counts as zero.
        check_grad_dtypes: accepted: gradients always have the dtypes of their inputs.
        masked: accepted: it concerns sparse inputs.
        check_batched_grad: that backward under `vmap` gives the same as one pass after the other.
        check_batched_forward_grad: the same of forward mode; implies `check_forward_ad`.
        check_forward_ad: check forward mode (`func.jvp`) too.
        check_backward_ad: check the tape; False leaves forward mode alone.
        fast_mode: compare a random projection of each Jacobian instead of each of its entries.

    Returns:
        True if every derivative passes.

    Raises:
        ValueError: no input requires a gradient.
        GradcheckError: names output, input, entry, both values and how many entries are wrong.

    Example:
        >>> import gradgpu as gg
        >>> x = gg.tensor([0.1, 0.2], dtype=gg.float64, requires_grad=True)
        >>> gg.autograd.gradcheck(lambda x: x * x, x)
        True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    forward = check_forward_ad or check_batched_forward_grad
    if not forward and not check_backward_ad:
        raise ValueError(
            "gradcheck: expected at least one of check_forward_ad and check_backward_ad to be True"
        )
    func, inputs = _of_real_numbers(func, inputs)
    try:
        check = _Check(func, inputs, eps, atol, rtol, nondet_tol)
        if check_backward_ad:
            check.run(fast_mode)
            if check_undefined_grad:
                check.undefined()
            if check_batched_grad:
                check.batched()
        if forward:
            check.forward(fast_mode)
            if check_batched_forward_grad:
                check.batched_forward()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check gradients of gradients against central differences of the gradient.

    Args:
        func, inputs, eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_batched_grad, fast_mode: as in
            `gradcheck`.
        check_fwd_over_rev, check_rev_over_rev: differentiate the gradient in forward mode, and by the tape.
        grad_outputs: gradients of the outputs to start from; drawn from a fixed random stream if
            None. They are inputs of the check too: the gradient is linear in them.

    Returns:
        True if every second derivative passes.

    Example:
        >>> import gradgpu as gg
        >>> x = gg.tensor([0.1, 0.2], dtype=gg.float64, requires_grad=True)
        >>> gg.autograd.gradgradcheck(lambda x: x * x * x, x)
        True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = tuple(
            _like(y, rng.standard_normal(y.shape)) for y in _tensors(func(*inputs)) if y.requires_grad
        )
    elif isinstance(grad_outputs, Tensor):
        grad_outputs = (grad_outputs,)
    seeds = tuple(g if g.requires_grad else g.detach().requires_grad_() for g in grad_outputs)
    count = len(seeds)

    def gradient(*args: Any) -> tuple[Tensor, ...]:
        xs, gs = args[: len(args) - count], args[len(args) - count :]
        ys = [y for y in _tensors(func(*xs)) if y.requires_grad]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        grads = _grad(ys, wanted, gs, create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)

    gradient.__name__ = f"gradient of {_name(func)}"
    return gradcheck(
        gradient,
        inputs + seeds,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
    )


class _Check:
    """One call of gradcheck: the function, its inputs, and the tolerances."""

    def __init__(
        self, func: Callable[..., Any], inputs: tuple, eps: float, atol: float, rtol: float, nondet_tol: float
    ):
        self.func, self.inputs = func, inputs
        self.eps, self.atol, self.rtol, self.nondet_tol = eps, atol, rtol, nondet_tol
        self.checked = [i for i, x in enumerate(inputs) if _is_checked(x)]
        if not self.checked:
            raise ValueError(
                "gradcheck needs at least one floating-point tensor with requires_grad=True among its inputs"
            )
        self.wanted = [inputs[i] for i in self.checked]

    def run(self, fast: bool) -> None:
        outputs = _tensors(self.func(*self.inputs))
        if not outputs:
            raise ValueError(f"gradcheck: {_name(self.func)} returned no tensor")
        self._check_repeatable(outputs)
        if fast and self._projections_agree(outputs):
            return
        # A failed projection says that something is wrong, not what: the Jacobians say it.
        self._compare_jacobians(outputs)
        if fast:
            raise GradcheckError(
                f"gradcheck: a random projection of the Jacobian of {_name(self.func)} is wrong though each entry "
                f"is within atol={self.atol}, rtol={self.rtol}; use fast_mode=False if that is enough"
            )

    def undefined(self) -> None:
        """A gradient that does not arrive counts as zero."""
        ys = [y for y in _tensors(self.func(*self.inputs)) if y.requires_grad]
        for k, y in enumerate(ys if len(ys) > 1 else ()):
            alone = self._backward([y], [np.ones(y.shape)])
            seeds = [np.ones(z.shape) if j == k else np.zeros(z.shape) for j, z in enumerate(ys)]
            for i, a, b in zip(self.checked, alone, self._backward(ys, seeds), strict=True):
                self._same(
                    a, b, f"gradients of input {i} if output {k} alone gets a gradient, or the others zeros"
                )

    def batched(self) -> None:
        """Backward under vmap against one pass after the other."""
        from ..ops.join import stack

        ys = [y for y in _tensors(self.func(*self.inputs)) if y.requires_grad]
        rng = np.random.default_rng(0)
        rows = [[rng.standard_normal(y.shape) for y in ys] for _ in range(2)] if ys else []
        for seeds, which in zip(rows, range(2)):
            weights = [stack([_like(y, row[k]) for row in rows]) for k, y in enumerate(ys)]
            found = _grad(
                ys, self.wanted, weights, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
            for i, a, g in zip(self.checked, self._backward(ys, seeds), found, strict=True):
                made = np.zeros_like(a) if g is None else _array(g[which])
                self._same(made, a, f"gradients of input {i} under vmap and without it")

    def forward(self, fast: bool) -> None:
        """Forward mode against differences."""
        outputs = _tensors(self.func(*self.inputs))
        if fast:
            rng = np.random.default_rng(0)
            us = [_unit(rng, x.shape) for x in self.wanted]
            want = self._difference({i: self.eps * u for i, u in zip(self.checked, us, strict=True)})
            weight = sum(float(np.abs(u).sum()) for u in us)
            for o, (a, b) in enumerate(zip(self._along(us), want, strict=True)):
                if a.size and not np.all(np.abs(a - b) <= self.atol * weight + self.rtol * np.abs(b)):
                    raise GradcheckError(
                        f"gradcheck: {_name(self.func)}: the derivative of output {o} along a random direction is wrong in "
                        "forward mode; fast_mode=False says where"
                    )
            return
        for i, x in zip(self.checked, self.wanted):
            numerical = self._numerical(i, outputs)
            columns = [np.zeros_like(jacobian) for jacobian in numerical]
            for element in range(x.numel()):
                units = [np.zeros(w.shape) for w in self.wanted]
                units[self.checked.index(i)].reshape(-1)[element] = 1
                for column, row in zip(columns, self._along(units), strict=True):
                    column[element] = row.reshape(-1)
            for o, y in enumerate(outputs):
                self._compare(columns[o], numerical[o], o, y, i, True, "forward mode")

    def batched_forward(self) -> None:
        """Forward mode under vmap against one direction after the other."""
        from ..func import vmap
        from ..ops.join import stack

        rng = np.random.default_rng(1)
        rows = [[rng.standard_normal(x.shape) for x in self.wanted] for _ in range(2)]
        tangents = [stack([_like(x, row[k]) for row in rows]) for k, x in enumerate(self.wanted)]
        found = vmap(lambda *ts: tuple(self._derivatives(ts)))(*tangents)
        for which, row in enumerate(rows):
            for o, (made, want) in enumerate(zip(found, self._along(row), strict=True)):
                self._same(
                    _array(made[which]),
                    want,
                    f"derivatives of output {o} in forward mode under vmap and without it",
                )

    def _along(self, units: list[np.ndarray]) -> list[np.ndarray]:
        """The derivatives of all outputs along a direction, in forward mode."""
        return [_array(t) for t in self._derivatives([_like(x, u) for x, u in zip(self.wanted, units)])]

    def _derivatives(self, tangents: Sequence[Tensor]) -> list[Tensor]:
        from ..func import jvp
        from ..ops.tangents import fresh_leaf

        def function(*some: Tensor) -> tuple:
            given = list(self.inputs)
            for i, x in zip(self.checked, some):
                given[i] = fresh_leaf(x)  # requires grad, as what was given does
            return tuple(_tensors(self.func(*given)))

        return list(jvp(function, tuple([x.detach() for x in self.wanted]), tuple(tangents))[1])

    def _same(self, a: np.ndarray, b: np.ndarray, what: str) -> None:
        if a.size and not np.allclose(a, b, self.rtol, self.atol, equal_nan=True):
            raise GradcheckError(
                f"gradcheck: {_name(self.func)}: {what} differ by {np.nanmax(np.abs(a - b)):.3g}"
            )

    def _compare_jacobians(self, outputs: list[Tensor]) -> None:
        numerical = {i: self._numerical(i, outputs) for i in self.checked}
        for o, y in enumerate(outputs):
            analytical = self._analytical(y) if y.requires_grad else None
            for k, i in enumerate(self.checked):
                got = np.zeros_like(numerical[i][o]) if analytical is None else analytical[k]
                self._compare(got, numerical[i][o], o, y, i, y.requires_grad)

    def _numerical(self, i: int, outputs: list[Tensor]) -> list[np.ndarray]:
        """Jacobians [elements of input i, elements of output], one an output."""
        base = _array(self.inputs[i])
        jacobians = [np.zeros((base.size, y.numel())) for y in outputs]
        for element in range(base.size):
            step = np.zeros(base.size)
            step[element] = self.eps
            steps = {i: step.reshape(base.shape)}
            for jacobian, row in zip(jacobians, self._difference(steps), strict=True):
                jacobian[element] = row.reshape(-1)
        return jacobians

    def _difference(self, steps: dict[int, np.ndarray]) -> list[np.ndarray]:
        """(f(x + step) - f(x - step)) / (2 eps) for steps in these inputs."""
        above, below = self._values(steps, 1), self._values(steps, -1)
        return [(a - b) / (2 * self.eps) for a, b in zip(above, below, strict=True)]

    def _values(self, steps: dict[int, np.ndarray], sign: int) -> list[np.ndarray]:
        inputs = list(self.inputs)
        for i, step in steps.items():
            inputs[i] = _like(inputs[i], _array(inputs[i]) + sign * step).requires_grad_()
        return [_array(y) for y in _tensors(self.func(*inputs))]

    def _analytical(self, y: Tensor) -> list[np.ndarray]:
        """Jacobians [elements of input, elements of y], one an input, by a backward for each element of y."""
        jacobians = [np.zeros((x.numel(), y.numel())) for x in self.wanted]
        for element in range(y.numel()):
            seed = np.zeros(y.numel())
            seed[element] = 1
            for jacobian, g in zip(jacobians, self._backward([y], [seed.reshape(y.shape)]), strict=True):
                jacobian[:, element] = g.reshape(-1)
        return jacobians

    def _backward(self, ys: list[Tensor], seeds: list[np.ndarray]) -> list[np.ndarray]:
        seed_tensors = [_like(y, seed) for y, seed in zip(ys, seeds, strict=True)]
        grads = _grad(ys, self.wanted, seed_tensors, retain_graph=True, allow_unused=True)
        found = []
        for i, x, g in zip(self.checked, self.wanted, grads, strict=True):
            if g is None:
                found.append(np.zeros(x.shape))
                continue
            for what in ("shape", "dtype", "device"):
                if getattr(g, what) != getattr(x, what):
                    raise GradcheckError(
                        f"gradcheck: the gradient of {_name(self.func)} for input {i} has {what} "
                        f"{getattr(g, what)}, the input has {getattr(x, what)}"
                    )
            found.append(_array(g))
        return found

    def _check_repeatable(self, outputs: list[Tensor]) -> None:
        ys = [y for y in outputs if y.requires_grad]
        if not ys:
            return
        seeds = [np.ones(y.shape) for y in ys]
        for i, a, b in zip(self.checked, self._backward(ys, seeds), self._backward(ys, seeds), strict=True):
            if a.size and not np.all(
                (np.abs(a - b) <= self.nondet_tol) | (np.isnan(a) & np.isnan(b)) | (a == b)
            ):
                raise GradcheckError(
                    f"gradcheck: backward of {_name(self.func)} is not repeatable: two passes through one graph gave "
                    f"gradients of input {i} that differ by {np.nanmax(np.abs(a - b)):.3g} (nondet_tol={self.nondet_tol})"
                )

    def _projections_agree(self, outputs: list[Tensor]) -> bool:
        rng = np.random.default_rng(0)
        us = [_unit(rng, x.shape) for x in self.wanted]
        weight = sum(float(np.abs(u).sum()) for u in us)
        numerical = self._difference({i: self.eps * u for i, u in zip(self.checked, us, strict=True)})
        for y, difference in zip(outputs, numerical, strict=True):
            v = _unit(rng, y.shape)
            want = float((difference * v).sum())
            grads = self._backward([y], [v]) if y.requires_grad else [np.zeros(x.shape) for x in self.wanted]
            got = sum(float((g * u).sum()) for g, u in zip(grads, us, strict=True))
            # The projection of errors of size atol in every entry is at most atol * sum|u| * sum|v|.
            if not abs(got - want) <= self.atol * weight * float(np.abs(v).sum()) + self.rtol * abs(want):
                return False
        return True

    def _compare(
        self,
        got: np.ndarray,
        want: np.ndarray,
        o: int,
        y: Tensor,
        i: int,
        linked: bool,
        how: str = "analytical",
    ) -> None:
        if not got.size:
            return
        difference = np.abs(got - want)
        excess = difference - (self.atol + self.rtol * np.abs(want))
        wrong = ~(excess <= 0)
        if not wrong.any():
            return
        x = self.inputs[i]
        worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), got.shape)
        at_x = ", ".join(map(str, np.unravel_index(worst[0], x.shape)))
        at_y = ", ".join(map(str, np.unravel_index(worst[1], y.shape)))
        hints = []
        if not linked:
            hints.append("the output does not require grad, so its gradient is taken as zero")
        elif not got.any():
            hints.append("every analytical entry is zero: the gradient may be cut (detach, no_grad, numpy)")
        if x.dtype.itemsize < 8:
            hints.append(f"input {i} is {x.dtype}: finite differences need float64")
        raise GradcheckError(
            f"gradcheck: {_name(self.func)}: d output {o} (shape {tuple(y.shape)}) / d input {i} (shape "
            f"{tuple(x.shape)}): {int(wrong.sum())} of {wrong.size} entries differ by more than atol={self.atol} + "
            f"rtol={self.rtol} * |numerical|.\n"
            f"worst: d output[{at_y}] / d input[{at_x}]: {how} {got[worst]:.8g}, numerical {want[worst]:.8g}, "
            f"difference {difference[worst]:.3g}" + "".join(f"\n{hint}" for hint in hints)
        )


def _of_real_numbers(func: Callable[..., Any], inputs: tuple) -> tuple[Callable[..., Any], tuple]:
    """A function and inputs whose complex tensors, if there are any, are real ones with a last dimension of size 2: what
    the tape calls the gradient with respect to a complex number are the derivatives with respect to its parts."""
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.is_complex() and x.requires_grad]
    if not places and not any(y.is_complex() for y in _tensors(func(*inputs))):
        return func, inputs
    from ..ops.complex import view_as_complex, view_as_real

    real = list(inputs)
    for i in places:
        real[i] = view_as_real(inputs[i].detach()).clone().requires_grad_()

    def of_parts(*args: Any) -> tuple[Tensor, ...]:
        given = list(args)
        for i in places:
            given[i] = view_as_complex(given[i])
        return tuple([view_as_real(y) if y.is_complex() else y for y in _tensors(func(*given))])

    of_parts.__name__ = _name(func)
    return of_parts, tuple(real)


def _is_checked(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad and x.is_floating_point()


def _tensors(result: Any) -> list[Tensor]:
    """The tensors among a function's results, in order, out of any nesting of tuples and lists."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, (tuple, list)):
        return [y for part in result for y in _tensors(part)]
    return []


def _array(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy().astype(np.float64)


def _grad(*args: Any, **kwargs: Any) -> tuple:
    from . import grad

    return grad(*args, **kwargs)


def _like(x: Tensor, array: np.ndarray) -> Tensor:
    """`array` as a new tensor with the dtype and the device of x."""
    from ..ops.creation import tensor

    return tensor(array, dtype=x.dtype, device=x.device)


def _unit(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    # No entry near zero, lest an error there stay unseen; both signs, lest errors cancel in a sum.
    direction = rng.uniform(0.5, 1.0, tuple(shape)) * rng.choice([-1.0, 1.0], tuple(shape))
    norm = float(np.sqrt((direction**2).sum()))
    return direction / norm if norm else direction


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", type(func).__name__)
