"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.modes import enable_grad, no_grad
from ..ops.creation import zeros
from ..ops.join import cat
from ..tensor import Tensor
from .optimizer import Optimizer, check_non_negative

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last few gradients (Nocedal & Wright, algorithm 7.4); ``step`` needs a closure.

    Args:
        params: the parameters, in one group.
        lr: step length.
        max_iter: iterations a step.
        max_eval: evaluations of the closure a step (max_iter · 5 / 4).
        tolerance_grad: stop where the largest gradient is at most this.
        tolerance_change: stop where parameters or loss change less.
        history_size: how many changes are remembered.
        line_search_fn: None, or 'strong_wolfe'.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_non_negative(lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported as line_search_fn, got {line_search_fn!r}")
        super().__init__(
            params,
            dict(
                lr=lr, max_iter=max_iter, max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
                tolerance_grad=tolerance_grad, tolerance_change=tolerance_change, history_size=history_size,
                line_search_fn=line_search_fn,
            ),
        )  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        parts = [
            zeros(p.numel(), dtype=p.dtype, device=p.device) if p.grad is None else p.grad.reshape(-1)
            for p in self._params
        ]
        return cat(parts)

    def _move(self, origin: list[Tensor], t: float, direction: Tensor) -> None:
        """Parameters ← origin + t · direction."""
        at = 0
        for p, start in zip(self._params, origin):
            p.copy_(start + t * direction[at : at + p.numel()].reshape(tuple(p.shape)))
            at += p.numel()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations; closure clears the gradients, computes the loss and runs backward."""
        if closure is None:
            raise RuntimeError("LBFGS.step needs a closure that recomputes the loss: optimizer.step(closure)")
        evaluate = closure
        with no_grad():
            loss = self._iterate(lambda: _with_grad(evaluate))
        for hook in self._post_hooks.values():
            hook(self, (closure,), {})
        return loss

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state: Any = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = closure()
        loss, evaluations = float(first), 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if float(gradient.abs().max()) <= group["tolerance_grad"]:
            return first
        direction, t = state.get("d"), state.get("t")
        changes, steps, curvature = state.get("old_dirs"), state.get("old_stps"), state.get("ro")
        scale, before, loss_before = state.get("H_diag"), state.get("prev_flat_grad"), state.get("prev_loss")
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                direction, changes, steps, curvature, scale = -gradient, [], [], [], 1.0
            else:
                y, s = gradient - before, direction * t
                ys = float((y * s).sum())
                if ys > 1e-10:
                    if len(changes) == group["history_size"]:
                        changes.pop(0), steps.pop(0), curvature.pop(0)
                    changes.append(y), steps.append(s), curvature.append(1.0 / ys)
                    scale = ys / float((y * y).sum())
                direction = self._two_loops(gradient, changes, steps, curvature, scale)
            before = gradient.clone()
            loss_before = loss
            t = (
                min(1.0, 1.0 / float(gradient.abs().sum())) * group["lr"]
                if state["n_iter"] == 1
                else group["lr"]
            )
            slope = float((gradient * direction).sum())
            if slope > -group["tolerance_change"]:
                break
            used = 0
            origin = [p.detach().clone() for p in self._params]
            if group["line_search_fn"] == "strong_wolfe":

                def at(
                    length: float, origin: Any = origin, direction: Any = direction
                ) -> tuple[float, Tensor]:
                    self._move(origin, length, direction)
                    return float(closure()), self._gradient()

                loss, gradient, t, used = strong_wolfe(
                    at, t, direction, loss, gradient, slope, group["tolerance_change"]
                )
                self._move(origin, t, direction)
            else:
                self._move(origin, t, direction)
                if iteration != group["max_iter"]:
                    loss, gradient, used = float(closure()), self._gradient(), 1
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or float(gradient.abs().max()) <= group["tolerance_grad"]
                or float((direction * t).abs().max()) <= group["tolerance_change"]
                or abs(loss - loss_before) < group["tolerance_change"]
            ):
                break
        state.update(
            d=direction,
            t=t,
            old_dirs=changes,
            old_stps=steps,
            ro=curvature,
            H_diag=scale,
            prev_flat_grad=before,
            prev_loss=loss_before,
        )
        return first

    @staticmethod
    def _two_loops(gradient: Tensor, changes: list, steps: list, curvature: list, scale: float) -> Tensor:
        """-H · gradient, H the inverse Hessian that the history implies."""
        q = -gradient
        factors = []
        for y, s, rho in zip(reversed(changes), reversed(steps), reversed(curvature)):
            factor = float((s * q).sum()) * rho
            factors.append(factor)
            q = q - y * factor
        r = q * scale
        for y, s, rho, factor in zip(changes, steps, curvature, reversed(factors)):
            r = r + s * (factor - float((y * r).sum()) * rho)
        return r


def _with_grad(closure: Callable[[], Any]) -> Any:
    with enable_grad():
        return closure()


def _cubic(
    x1: float,
    f1: float,
    g1: float,
    x2: float,
    f2: float,
    g2: float,
    bounds: tuple[float, float] | None = None,
) -> float:
    """The minimum of the cubic through two points with slopes, within bounds (Nocedal & Wright, 3.59)."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    best = (
        x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
        if x1 <= x2
        else x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    )
    return min(max(best, low), high)


def strong_wolfe(
    at: Callable[[float], tuple[float, Tensor]],
    t: float,
    direction: Tensor,
    f: float,
    g: Tensor,
    slope: float,
    tolerance_change: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    max_ls: int = 25,
) -> tuple[float, Tensor, float, int]:
    """A step length that fulfils the strong Wolfe conditions: bracket, then zoom (Nocedal & Wright, 3.5 and 3.6).

    Returns:
        loss, gradient, step length, evaluations.
    """
    size = float(direction.abs().max())

    def slope_of(gradient: Tensor) -> float:
        return float((gradient * direction).sum())

    f_new, g_new = at(t)
    evaluations = 1
    slope_new = slope_of(g_new)
    t_old, f_old, g_old, slope_old = 0.0, f, g, slope
    done = False
    tries = 0
    while True:
        if (
            f_new > f + c1 * t * slope
            or (tries > 1 and f_new >= f_old)
            or (slope_new >= 0 and abs(slope_new) > -c2 * slope)
        ):
            bracket = [(t_old, f_old, g_old, slope_old), (t, f_new, g_new, slope_new)]
            break
        if abs(slope_new) <= -c2 * slope:
            bracket, done = [(t, f_new, g_new, slope_new)] * 2, True
            break
        least, most = t + 0.01 * (t - t_old), t * 10
        following = _cubic(t_old, f_old, slope_old, t, f_new, slope_new, (least, most))
        t_old, f_old, g_old, slope_old = t, f_new, g_new.clone(), slope_new
        t = following
        f_new, g_new = at(t)
        evaluations += 1
        slope_new = slope_of(g_new)
        tries += 1
        if tries == max_ls:
            bracket = [(0.0, f, g, slope), (t, f_new, g_new, slope_new)]
            break
    stuck = False
    low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
    while not done and tries < max_ls:
        width = abs(bracket[1][0] - bracket[0][0])
        if width * size < tolerance_change:
            break
        (x1, f1, _, s1), (x2, f2, _, s2) = bracket
        t = _cubic(x1, f1, s1, x2, f2, s2)
        least, most = min(x1, x2), max(x1, x2)
        margin = 0.1 * (most - least)
        if min(most - t, t - least) < margin:  # too close to an end to shrink the bracket
            if stuck or t >= most or t <= least:
                t = most - margin if abs(t - most) < abs(t - least) else least + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        f_new, g_new = at(t)
        evaluations += 1
        slope_new = slope_of(g_new)
        tries += 1
        point = (t, f_new, g_new.clone(), slope_new)
        if f_new > f + c1 * t * slope or f_new >= bracket[low][1]:
            bracket[high] = point
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(slope_new) <= -c2 * slope:
                done = True
            elif slope_new * (bracket[high][0] - bracket[low][0]) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
    t, f_new, g_new, _ = bracket[low]
    return f_new, g_new, t, evaluations


# ---- by the names that packages with minimisers of their own import ----
_cubic_interpolate = _cubic


def _strong_wolfe(
    obj_func: Callable[[Any, float, Tensor], tuple[float, Tensor]],
    x: Any,
    t: float,
    d: Tensor,
    f: float,
    g: Tensor,
    gtd: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_ls: int = 25,
) -> tuple[float, Tensor, float, int]:
    """`strong_wolfe` of `obj_func(x, t, d)`, the loss and its gradient at x + t · d."""
    return strong_wolfe(
        lambda length: obj_func(x, length, d),
        float(t),
        d,
        float(f),
        g,
        float(gtd),
        tolerance_change,
        c1,
        c2,
        max_ls,
    )
