"""The ways that convolutions go on the CPU by their sizes, beside the definition; those of a depthwise one beside the common one."""

import numpy as np
import pytest

from gradgpu.cuda import conv as on_cuda
from gradgpu.ops import conv, depthwise
from tests.samples import numpy_dtype

# images, groups, outputs a group, image, kernel, stride, padding, dilation
GEOMETRIES = {
    "square": (3, 4, 1, (9, 8), (3, 3), (1, 1), (1, 1), (1, 1)),
    "pixel": (2, 3, 2, (5, 4), (5, 4), (1, 1), (0, 0), (1, 1)),
    "multiplier": (2, 3, 4, (6, 7), (5, 5), (1, 1), (2, 2), (1, 1)),
    "strides": (2, 3, 2, (11, 10), (3, 4), (3, 2), (2, 1), (1, 1)),
    "dilation": (2, 2, 1, (9, 12), (2, 3), (1, 2), (3, 5), (3, 4)),
    "padding beyond the kernel": (1, 2, 1, (3, 4), (2, 2), (1, 1), (4, 3), (1, 1)),
    "skipped": (1, 2, 2, (9, 9), (1, 2), (4, 5), (0, 0), (1, 1)),
    "one dimension": (2, 3, 1, (1, 50), (1, 7), (1, 1), (0, 3), (1, 1)),
    "tiles": (2, 3, 2, (5, 48), (3, 3), (1, 1), (1, 1), (1, 1)),
    "tiles with a rest": (2, 2, 1, (7, 37), (3, 3), (1, 1), (1, 1), (1, 1)),
    "many pixels": (3, 2, 1, (40, 41), (4, 3), (1, 1), (1, 1), (1, 1)),
    "nothing": (0, 2, 2, (4, 4), (3, 3), (1, 1), (1, 1), (1, 1)),
}


def arrays(images, groups, outputs, image, kernel, stride, padding, dilation):
    """(image, weight, gradient of the output, the attributes)."""
    out = conv._output(image, kernel, stride, padding, dilation)
    shapes = (images, groups, *image), (groups * outputs, 1, *kernel), (images, groups * outputs, *out)
    random = np.random.default_rng(0)
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return *(random.uniform(-1, 1, shape) for shape in shapes), attrs


def three(x, weight, g, attrs):
    return (
        conv.conv2d_op(x, weight, None, **attrs),
        conv.conv2d_input_grad_op(g, weight, size=x.shape[2:], **attrs),
        conv.conv2d_weight_grad_op(g, x, kernel=weight.shape[2:], **attrs),
    )


def always(monkeypatch, whether):
    for name in ("suits_forward", "suits_input_gradient"):
        monkeypatch.setattr(depthwise, name, lambda *shapes: whether)


@pytest.mark.parametrize("limit", [1, 1 << 12, 1 << 24])  # an image at a time, some, all
@pytest.mark.parametrize("name", GEOMETRIES)
def test_bands_are_patches(monkeypatch, name, limit):
    operands = arrays(*GEOMETRIES[name])
    always(monkeypatch, False)
    wanted = three(*operands)
    always(monkeypatch, True)
    monkeypatch.setattr(depthwise, "_IMAGES_BYTES", limit)
    monkeypatch.setattr(depthwise, "_PATCHES_BYTES", limit)
    for got, want in zip(three(*operands), wanted):
        assert got.shape == want.shape and got.flags.c_contiguous
        np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("name", ["square", "strides", "tiles with a rest"])
def test_what_is_not_finite_reaches_what_its_taps_reach(monkeypatch, name, which, value):
    operands = arrays(*GEOMETRIES[name])
    operands[which][-1, 0, -1, -1] = value
    always(monkeypatch, False)
    wanted = three(*operands)
    always(monkeypatch, True)
    for got, want in zip(three(*operands), wanted):
        np.testing.assert_allclose(got, want, atol=1e-12)
        assert np.isfinite(got).any()


def test_bands_are_taken_where_they_are_faster(monkeypatch):
    def forward(images, groups, outputs, out, kernel, stride):
        return depthwise.suits_forward(images, groups, outputs, out, kernel, stride, (1, 1))

    assert forward(8, 64, 1, (16, 16), (3, 3), (1, 1)) and forward(2, 96, 1, (56, 56), (7, 7), (1, 1))
    assert not forward(1, 4, 1, (16, 16), (3, 3), (1, 1)) and not forward(8, 64, 8, (16, 16), (5, 5), (1, 1))
    assert not forward(8, 64, 1, (14, 14), (16, 16), (16, 16))
    assert depthwise.suits_input_gradient(1, (8, 8), (3, 3), (2, 2), (1, 1))
    assert not depthwise.suits_input_gradient(1, (8, 8), (2, 2), (2, 2), (1, 1))
    for name in ("forward", "input_gradient", "weight_gradient"):
        monkeypatch.delattr(depthwise, name)
    for took in (
        lambda x, w, g, attrs: conv.conv2d_op(x, w, None, **attrs),
        lambda x, w, g, attrs: conv.conv2d_input_grad_op(g, w, size=x.shape[2:], **attrs),
        lambda x, w, g, attrs: conv.conv2d_weight_grad_op(g, x, kernel=w.shape[2:], **attrs),
    ):
        with pytest.raises(AttributeError, match="depthwise"):
            took(*arrays(1, 2, 1, (5, 5), (5, 5), (1, 1), (2, 2), (1, 1)))
        took(*arrays(1, 2, 1, (4, 4), (2, 2), (2, 2), (0, 0), (1, 1)))


@pytest.mark.cuda
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12), ("float16", 1e-2), ("bfloat16", 5e-2)])  # fmt: skip
@pytest.mark.parametrize("name", GEOMETRIES)
def test_direct_kernels_are_matrix_products(monkeypatch, name, dtype, tolerance):
    from gradgpu.cuda.array import from_host

    *operands, attrs = arrays(*GEOMETRIES[name])
    operands = [from_host(a.astype(numpy_dtype(dtype))) for a in operands]
    shapes = [a.shape for a in operands]
    plan = on_cuda._depthwise_plan("conv2d", shapes[0], shapes[2], shapes[1][2:], **attrs)
    assert plan is not None
    got = three(*operands, attrs)
    monkeypatch.setattr(on_cuda, "_depthwise_plan", lambda *args, **attrs: None)
    for direct, product in zip(got, three(*operands, attrs)):
        direct, product = (a.get().astype(np.float64) for a in (direct, product))
        assert direct.shape == product.shape
        np.testing.assert_allclose(
            direct, product, rtol=tolerance, atol=tolerance * max(1, np.abs(product).max(initial=0))
        )


def test_pixels_of_the_weight_gradient_are_divided_where_blocks_are_few():
    def parts(image):
        return on_cuda._depthwise_plan(
            "conv2d_weight_grad", image, image, (3, 3), (1, 1), (1, 1), (1, 1), image[1]
        )[1]

    assert parts((3, 2, 40, 41)) > 1 and parts((8, 512, 40, 41)) == 1 and parts((1, 2, 8, 8)) == 1
    assert (
        on_cuda._depthwise_plan("conv2d", (1, 2, 8, 8), (1, 32, 8, 8), (3, 3), (1, 1), (1, 1), (1, 1), 2)
        is None
    )


# images, channels, outputs, image, kernel, stride, padding, dilation
DENSE = {
    "many small images": (40, 9, 4, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    "small images": (5, 9, 4, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    "large": (2, 3, 4, (18, 19), (3, 3), (1, 1), (1, 1), (1, 1)),
    "halved": (20, 8, 5, (8, 8), (4, 4), (2, 2), (1, 1), (1, 1)),
    "halved, odd": (3, 9, 4, (13, 9), (3, 3), (2, 2), (1, 1), (1, 1)),
    "a third": (2, 8, 4, (14, 11), (5, 4), (3, 2), (2, 0), (1, 1)),
    "padding beyond the kernel": (4, 8, 3, (5, 6), (2, 3), (2, 2), (3, 4), (1, 1)),
    "skipped": (3, 8, 3, (9, 10), (2, 1), (3, 2), (0, 0), (1, 1)),
    "one place": (6, 8, 5, (4, 3), (4, 3), (1, 1), (0, 0), (1, 1)),
    "many images, few channels": (20, 3, 4, (9, 12), (3, 4), (1, 1), (1, 0), (1, 1)),
    "many images, few channels, a third": (20, 3, 4, (9, 13), (3, 2), (3, 2), (1, 1), (1, 3)),
    "few places": (3, 8, 5, (7, 7), (5, 5), (1, 1), (0, 0), (1, 1)),
    "dilation": (20, 8, 4, (9, 9), (3, 2), (2, 1), (2, 1), (2, 3)),
}


def by_definition(x, weight, g, attrs):
    """The three convolutions, tap by tap."""
    (sh, sw), (ph, pw), (dh, dw) = attrs["stride"], attrs["padding"], attrs["dilation"]
    (h, w), (oh, ow) = x.shape[2:], g.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    y, of_padded, of_weight = np.zeros(g.shape), np.zeros(padded.shape), np.zeros(weight.shape)
    for i, j in np.ndindex(*weight.shape[2:]):
        at = np.s_[:, :, i * dh : i * dh + sh * oh : sh, j * dw : j * dw + sw * ow : sw]
        at = (*at[:2], *(slice(a.start, min(a.stop, n), a.step) for a, n in zip(at[2:], padded.shape[2:])))
        y += np.einsum("nchw,oc->nohw", padded[at], weight[:, :, i, j])
        of_padded[at] += np.einsum("nohw,oc->nchw", g, weight[:, :, i, j])
        of_weight[:, :, i, j] = np.einsum("nohw,nchw->oc", g, padded[at])
    return y, of_padded[:, :, ph : ph + h, pw : pw + w], of_weight


@pytest.mark.parametrize("name", DENSE)
def test_every_way_is_the_definition(name):
    images, channels, outputs, image, kernel, stride, padding, dilation = DENSE[name]
    out = conv._output(image, kernel, stride, padding, dilation)
    random = np.random.default_rng(0)
    shapes = (images, channels, *image), (outputs, channels, *kernel), (images, outputs, *out)
    operands = [random.uniform(-1, 1, shape) for shape in shapes]
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}
    for got, want in zip(three(*operands, attrs), by_definition(*operands, attrs)):
        assert got.shape == want.shape and got.flags.c_contiguous
        np.testing.assert_allclose(got, want, atol=1e-12)
