"""Samples of ops/linalg.py and ops/einsum.py."""

import numpy as np

import gradgpu as gg
from gradgpu.ops.linalg import linear
from tests.samples import INTS, Bad, In, OpSamples, Sample

SUMS = {"float16": (5e-3, 5e-3), "bfloat16": (4e-2, 4e-2)}


def linear_reference(x, weight, bias=None):
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias


def added(product):
    return lambda input, a, b, beta=1, alpha=1: beta * input + alpha * product(a, b)


def both_ways(a, b):
    """a b through every combination of flags of a product: the gradients of gradients reach them."""
    return (a.mT @ b.mT).mT


OPS = [
    OpSamples(
        "matmul",
        gg.matmul,
        samples=[
            Sample(In(3, 4), In(4, 5)),
            Sample(In(4), In(4)),
            Sample(In(3, 4), In(4)),
            Sample(In(4), In(4, 5)),
            Sample(In(2, 3, 4), In(4, 5)),
            Sample(In(2, 3, 4), In(4)),
            Sample(In(4), In(2, 4, 3)),
            Sample(In(3, 4), In(2, 4, 3)),
            Sample(In(2, 3, 4), In(2, 4, 3)),
            Sample(In(2, 1, 3, 4), In(3, 4, 2)),
            Sample(In(1, 1), In(1, 1)),
            Sample(In(3, 0), In(0, 2)),
            Sample(In(0, 3), In(3, 2)),
            Sample(In(2, 0, 3), In(2, 3, 2)),
            Sample(In(2, 3, 0), In(2, 0, 2)),
            Sample(In(33, 40), In(40, 35)),
        ],
        reference=np.matmul,
        tolerance=SUMS,
        ops=["mm", "dot", "matmul"],
        errors=[
            Bad(In(2, 3), In(4, 5), raises=RuntimeError, match="cannot be multiplied"),
            Bad(In(2, 3), In(4), raises=RuntimeError, match="cannot be multiplied"),
            Bad(In(3), In(4), raises=RuntimeError, match="inconsistent tensor size"),
            Bad(In(2, 3, 4), In(3, 4, 5), raises=RuntimeError, match="do not broadcast"),
            Bad(In(2, 3, 4), In(2, 5, 4), raises=RuntimeError, match="cannot be multiplied"),
            Bad(In(), In(3), raises=RuntimeError, match="at least one dimension"),
            Bad(In(2, 3), In(3, 2, dtype="int64"), raises=RuntimeError, match="same dtype"),
            Bad(
                In(2, 2, dtype="bool"),
                In(2, 2, dtype="bool"),
                raises=RuntimeError,
                match="not implemented for bool",
            ),
            Bad(In(2, 3), 2.0, raises=TypeError, match="expected two Tensors"),
        ],
    ),
    OpSamples(
        "matmul_integer",
        gg.matmul,
        samples=[Sample(In(3, 4), In(4, 5)), Sample(In(4), In(4)), Sample(In(2, 3, 4), In(2, 4, 3))],
        reference=np.matmul,
        dtypes=INTS,
    ),
    OpSamples(
        "matmul_long",
        gg.matmul,
        samples=[Sample(In(2, 300), In(300, 3)), Sample(In(130, 20), In(20, 70))],
        reference=np.matmul,
        tolerance={"float32": (1e-4, 1e-4), "float16": (1e-2, 2e-2), "bfloat16": (4e-2, 2e-1)},
        second_order=False,  # the same rules as matmul; only the kernels' paths differ
    ),
    OpSamples(
        "matmul_transposed",
        both_ways,
        samples=[Sample(In(4, 3), In(5, 4)), Sample(In(2, 4, 3), In(2, 5, 4)), Sample(In(0, 3), In(5, 0))],
        reference=lambda a, b: np.swapaxes(np.swapaxes(a, -1, -2) @ np.swapaxes(b, -1, -2), -1, -2),
        tolerance=SUMS,
        errors=[Bad(In(4, 3), In(5, 3), raises=RuntimeError, match="(?i)size|shape")],
    ),
    OpSamples(
        "mm",
        gg.mm,
        samples=[Sample(In(3, 4), In(4, 2)), Sample(In(0, 4), In(4, 2))],
        reference=np.matmul,
        tolerance=SUMS,
        errors=[
            Bad(In(3), In(3, 2), raises=RuntimeError, match="input must be 2-D"),
            Bad(In(2, 3), In(2, 3), raises=RuntimeError, match=r"cannot be multiplied \(2x3 and 2x3\)"),
        ],
    ),
    OpSamples(
        "bmm",
        gg.bmm,
        samples=[Sample(In(2, 3, 4), In(2, 4, 2)), Sample(In(0, 3, 4), In(0, 4, 2))],
        reference=np.matmul,
        tolerance=SUMS,
        errors=[
            Bad(In(3, 4), In(4, 2), raises=RuntimeError, match="input must be 3-D"),
            Bad(In(2, 3, 4), In(3, 4, 2), raises=RuntimeError, match="batch sizes differ"),
        ],
    ),
    OpSamples(
        "mv",
        gg.mv,
        samples=[Sample(In(3, 4), In(4)), Sample(In(3, 0), In(0))],
        reference=np.matmul,
        tolerance=SUMS,
        errors=[Bad(In(3, 4), In(4, 1), raises=RuntimeError, match="vec must be 1-D")],
    ),
    OpSamples(
        "dot",
        gg.dot,
        samples=[Sample(In(4), In(4)), Sample(In(0), In(0)), Sample(In(200), In(200))],
        reference=np.dot,
        tolerance={**SUMS, "float32": (1e-4, 1e-4)},
        errors=[
            Bad(In(3), In(4), raises=RuntimeError, match="inconsistent"),
            Bad(In(3, 1), In(3), raises=RuntimeError, match="1-D"),
        ],
    ),
    OpSamples(
        "vdot",
        gg.vdot,
        samples=[Sample(In(4), In(4)), Sample(In(0), In(0))],
        reference=np.dot,
        tolerance=SUMS,
        errors=[Bad(In(3), In(4), raises=RuntimeError, match="inconsistent")],
    ),
    OpSamples(
        "outer",
        gg.outer,
        samples=[Sample(In(3), In(4)), Sample(In(0), In(4))],
        reference=np.outer,
        errors=[Bad(In(3, 1), In(4), raises=RuntimeError, match="1-D")],
    ),
    OpSamples(
        "inner",
        gg.inner,
        samples=[Sample(In(4), In(4)), Sample(In(2, 3), In(4, 5, 3)), Sample(In(), In(3))],
        reference=np.inner,
        tolerance=SUMS,
        errors=[Bad(In(2), In(3), raises=RuntimeError, match="(?i)size|shape")],
    ),
    OpSamples(
        "tensordot",
        gg.tensordot,
        samples=[
            Sample(In(2, 3, 4), In(3, 4, 5)),
            Sample(In(2, 3), In(4), dims=0),
            Sample(In(2, 0), In(0, 4), dims=1),
            Sample(In(2, 3, 4), In(4, 6, 2), dims=([0, 2], [2, 0])),
        ],
        reference=lambda a, b, dims=2: np.tensordot(a, b, dims),
        tolerance=SUMS,
        errors=[
            Bad(In(2, 3), In(4, 5), dims=1, raises=RuntimeError, match="same sizes"),
            Bad(In(2, 3), In(3), dims=2, raises=RuntimeError, match="dims must be between"),
        ],
    ),
    OpSamples(
        "addmm",
        gg.addmm,
        samples=[
            Sample(In(4), In(2, 3), In(3, 4)),
            Sample(In(2, 4), In(2, 3), In(3, 4), beta=0.5, alpha=2.0),
            Sample(In(), In(2, 0), In(0, 4)),
        ],
        reference=added(np.matmul),
        tolerance=SUMS,
        errors=[Bad(In(4), In(3), In(3, 4), raises=RuntimeError, match="mat1 must be 2-D")],
    ),
    OpSamples(
        "addmv",
        gg.addmv,
        samples=[
            Sample(In(2), In(2, 3), In(3)),
            Sample(In(2), In(2, 3), In(3), beta=0.5, alpha=2.0),
            Sample(In(2), In(2, 0), In(0)),
        ],
        reference=added(np.matmul),
        tolerance=SUMS,
        errors=[Bad(In(2), In(3), In(3), raises=RuntimeError, match="2-D")],
    ),
    OpSamples(
        "baddbmm",
        gg.baddbmm,
        samples=[
            Sample(In(2, 2), In(3, 2, 4), In(3, 4, 2)),
            Sample(In(1), In(1, 2, 4), In(1, 4, 2), beta=2.0, alpha=0.5),
            Sample(In(), In(0, 2, 4), In(0, 4, 2)),
        ],
        reference=added(np.matmul),
        tolerance=SUMS,
        errors=[Bad(In(2), In(2, 3), In(3, 2), raises=RuntimeError, match="3-D")],
    ),
    OpSamples(
        "linear",
        linear,
        samples=[
            Sample(In(3, 4), In(5, 4), In(5)),
            Sample(In(3, 4), In(5, 4)),
            Sample(In(4), In(5, 4), In(5)),
            Sample(In(2, 3, 4), In(5, 4), In(5)),
            Sample(In(2, 2, 3, 4), In(1, 4), In(1)),
            Sample(In(0, 4), In(5, 4), In(5)),
            Sample(In(2, 0), In(5, 0), In(5)),
            Sample(In(3, 4), In(4)),
            Sample(In(2, 130), In(3, 130), In(3)),
        ],
        reference=linear_reference,
        tolerance=SUMS,
        errors=[
            Bad(
                In(2, 3),
                In(5, 4),
                In(5),
                raises=RuntimeError,
                match="linear: mat1 and mat2 shapes cannot be multiplied",
            ),
            Bad(In(2, 4), In(5, 4), In(4), raises=RuntimeError, match=r"bias must have shape \(5,\)"),
            Bad(In(2, 4), In(5, 4, dtype="int64"), raises=RuntimeError, match="same dtype"),
            Bad(In(), In(5, 4), raises=RuntimeError, match="linear"),
        ],
    ),
    OpSamples(
        "einsum",
        gg.einsum,
        samples=[
            Sample("ij,jk->ik", In(2, 3), In(3, 4)),
            Sample("ij,jk", In(2, 3), In(3, 4)),
            Sample("bhqd,bhkd->bhqk", In(2, 2, 3, 4), In(2, 2, 3, 4)),
            Sample("i,j->ij", In(3), In(4)),
            Sample("ij->ji", In(2, 3)),
            Sample("ij,jk->ik", In(2, 0), In(0, 4)),
            Sample("ij->", In(2, 3)),
            Sample("ij -> j", In(2, 3)),
            Sample("...ij,...jk->...ik", In(2, 1, 3, 4), In(3, 4, 2)),
            Sample("bi,bj,bk->bijk", In(2, 2), In(2, 3), In(2, 2)),
            Sample("ij,kj,k->i", In(2, 3), In(4, 3), In(4)),
            Sample("bij,bjk->bik", In(2, 1, 3), In(2, 3, 2)),
            Sample("i,i->", In(3), In(3)),
            Sample("ij,ij->i", In(2, 3), In(2, 3)),
        ],
        reference=np.einsum,
        tolerance=SUMS,
        errors=[
            Bad("ij,jk->ik", In(2, 3), raises=RuntimeError, match="has 2 operands, but 1"),
            Bad("ij,jk->ik", In(2, 3), In(4, 5), raises=RuntimeError, match="label 'j'"),
            Bad("ijk->i", In(2, 3), raises=RuntimeError, match="names 3 dimensions"),
            Bad("ij->ik", In(2, 3), raises=RuntimeError, match="output label 'k'"),
            Bad("i1->i", In(2, 3), raises=RuntimeError, match="labels must be letters"),
            Bad("i,i", In(2), 3.0, raises=TypeError, match="operands must be Tensors"),
        ],
    ),
]
