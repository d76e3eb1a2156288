"""Families of operations that few programs use: imported when one of their names is first asked for.

`gradgpu.quantile` and `x.quantile` both import ops/quantiles.py. Until then the method is a descriptor that does so.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from ..tensor import Tensor
from . import out

_ELEMENTARY = (
    "abs acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil clamp clamp_max clamp_min clip cos "
    "cosh deg2rad erf erfc exp exp2 expm1 fix floor frac ldexp log log10 log1p log2 logit nan_to_num neg negative rad2deg "
    "reciprocal round rsqrt sigmoid sin sinc sinh sqrt square tan tanh trunc xlogy zero addmv fill detach as_strided resize_as "
    "index_put"
)
# Methods that the gradgpu namespace has as functions.
OF_METHODS = frozenset(
    [name + "_" for name in _ELEMENTARY.split()]
    + "detach get_device is_nonzero is_same_size is_signed numel split_with_sizes".split()
)

# family: (functions of the gradgpu namespace, methods of Tensor)
FAMILIES = {
    ".nn.functions.namespace": (
        "affine_grid_generator alpha_dropout alpha_dropout_ batch_norm bilinear binary_cross_entropy_with_logits celu celu_ "
        "channel_shuffle constant_pad_nd conv_transpose3d cosine_embedding_loss cosine_similarity ctc_loss dropout dropout_ "
        "embedding embedding_renorm_ feature_alpha_dropout feature_alpha_dropout_ feature_dropout feature_dropout_ grid_sampler "
        "grid_sampler_2d grid_sampler_3d group_norm hardshrink hinge_embedding_loss instance_norm kl_div layer_norm "
        "margin_ranking_loss max_pool1d_with_indices max_pool3d native_channel_shuffle pairwise_distance pdist pixel_shuffle "
        "pixel_unshuffle poisson_nll_loss prelu relu_ rms_norm rrelu rrelu_ selu selu_ threshold threshold_ triplet_margin_loss",
        "hardshrink",
    ),
    "bessel": (
        "i0 igamma igammac mvlgamma polygamma",
        "i0 i0_ igamma igamma_ igammac igammac_ mvlgamma mvlgamma_ polygamma polygamma_",
    ),
    "bits": ("frexp", "frexp"),
    "calculus": (
        "cumulative_trapezoid diff gradient trapezoid trapz",
        "diff",
    ),
    "combinatorics": (
        "block_diag cartesian_prod combinations gcd isin kron lcm unique_consecutive unravel_index vander",
        "gcd gcd_ kron lcm lcm_ unique_consecutive",
    ),
    "cumulative": (
        "cummax cummin logcumsumexp",
        "cummax cummin logcumsumexp",
    ),
    "distances": ("cdist", ""),
    "factories": (
        "bartlett_window blackman_window empty_permuted empty_strided frombuffer hamming_window hann_window kaiser_window range",
        "",
    ),
    "householder": ("geqrf orgqr ormqr", "geqrf orgqr ormqr"),
    "low_rank": ("pca_lowrank svd_lowrank", ""),
    "lu": ("lu lu_solve lu_unpack", "lu lu_solve"),
    "methods": (
        "alias_copy fill is_conj is_neg is_storage nonzero_static resolve_neg typename unsafe_chunk unsafe_split unsafe_split_with_sizes",
        "absolute_ acosh_ apply_ arccos arccos_ arccosh arccosh_ arcsin arcsin_ arcsinh arcsinh_ arctan arctan2 arctan2_ arctan_ "
        "arctanh arctanh_ asinh_ atan2_ atanh_ bitwise_left_shift_ bitwise_not_ bitwise_right_shift_ erfc_ greater_ "
        "conj_physical_ dim_order greater_equal_ is_neg is_pinned is_set_to less_ less_equal_ logical_xor_ map2_ map_ negative_ new_empty_strided nonzero_static resolve_neg storage untyped_storage "
        "not_equal_ pin_memory prelu record_stream resize_as_ true_divide_ unsafe_chunk unsafe_split unsafe_split_with_sizes where",
    ),
    "products": (
        "addbmm addr adjoint chain_matmul cross frobenius_norm ger norm_except_dim nuclear_norm",
        "addbmm addbmm_ addmm_ addmv_ addr addr_ adjoint baddbmm_ cross",
    ),
    "quantiles": (
        "corrcoef histogram histogramdd mode nanmean nanmedian nanquantile quantile",
        "corrcoef histogram mode nanmean nanmedian nanquantile quantile",
    ),
    "rearrange": (
        "atleast_3d diagflat dsplit hsplit put renorm rot90 vsplit",
        "diagflat dsplit fill_diagonal_ hsplit put put_ renorm renorm_ rot90 vsplit",
    ),
    "removed": ("eig lstsq matrix_rank solve symeig", "eig lstsq matrix_rank solve symeig"),
    "rnn": (
        "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell",
        "",
    ),
    "scatter_reduce": (
        "index_reduce scatter_reduce segment_reduce",
        "index_reduce index_reduce_ scatter_reduce scatter_reduce_",
    ),
    "sampling": ("binomial poisson", "cauchy_ geometric_ log_normal_"),
    "short_time": ("istft stft", "istft stft"),
    ".sparse": (
        "",
        "_indices _nnz _values coalesce dense_dim indices is_coalesced sparse_dim sparse_mask to_dense to_sparse to_sparse_coo "
        "to_sparse_csr crow_indices col_indices "
        "values",
    ),
    "strided": (
        "as_strided as_strided_copy as_strided_scatter detach_copy diagonal_copy diagonal_scatter expand_copy narrow_copy "
        "permute_copy select_copy select_scatter slice_copy slice_scatter split_copy split_with_sizes_copy squeeze_copy t_copy "
        "transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy",
        "as_strided as_strided_ as_strided_scatter diagonal_scatter narrow_copy select_scatter slice_scatter squeeze_ "
        "swapaxes_ swapdims_ t_ transpose_ unfold unsqueeze_",
    ),
}

FUNCTIONS = dict.fromkeys(OF_METHODS, "") | {
    name: family for family, (functions, _) in FAMILIES.items() for name in functions.split()
}
METHODS = {name: family for family, (_, methods) in FAMILIES.items() for name in methods.split()}


class Later:
    """A method whose family is not imported yet."""

    __slots__ = ("family", "name")

    def __init__(self, family: str, name: str):
        self.family, self.name = family, name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        import_module("." + self.family, __package__)  # its `@method`s take the places of these descriptors
        found = vars(Tensor)[self.name]
        if found is self:
            raise AttributeError(f"ops/{self.family}.py does not define the method {self.name!r}")
        return found.__get__(instance, owner)


def _of_method(found: Any) -> Any:
    @functools.wraps(found)
    def function(input: Any, *args: Any, **kwargs: Any) -> Any:
        return found(input, *args, **kwargs)

    return function


def function(name: str) -> Any:
    """The function of that name, with `out=` where it has one."""
    if name in OF_METHODS:
        return _of_method(getattr(Tensor, name))
    found = getattr(import_module("." + FUNCTIONS[name], __package__), name)
    return out.with_out(found) if name in out.NAMES else found


for _name, _family in METHODS.items():
    if _name not in vars(Tensor):
        setattr(Tensor, _name, Later(_family, _name))
