"""Probability distributions, by PyTorch's names: parameters in, samples and log-probabilities out.

`sample` draws without a gradient; `rsample`, where there is one, is differentiable with respect to the parameters
(Kingma & Welling, "Auto-encoding variational Bayes", 2014; gamma draws and what is made of them by Figurnov et al., 2018).
Arguments are checked unless `validate_args=False`; on cuda each check waits for the device.

>>> import gradgpu as gg
>>> policy = gg.distributions.Categorical(logits=gg.zeros(4))
>>> policy.log_prob(policy.sample()).exp()
tensor(0.2500)
"""

import sys as _sys

from . import (
    bernoulli,
    categorical,
    constraints,
    counts,
    dirichlet,
    gamma,
    location_scale,
    matrices,
    power_law,
    relaxed,
    transformed_distribution,
    transforms,
    utils,
)
from .bernoulli import Bernoulli
from .categorical import Categorical
from .constraint_registry import biject_to, transform_to
from .continuous_bernoulli import ContinuousBernoulli
from .counts import Binomial, Geometric, Multinomial, NegativeBinomial, Poisson
from .dirichlet import Beta, Dirichlet, Kumaraswamy
from .distribution import Distribution, ExponentialFamily
from .exponential import Exponential
from .gamma import Chi2, FisherSnedecor, Gamma, InverseGamma
from .independent import Independent
from .kl import kl_divergence, register_kl
from .laplace import Laplace
from .location_scale import Cauchy, Gumbel, HalfCauchy, HalfNormal, StudentT
from .matrices import LKJCholesky, LowRankMultivariateNormal, Wishart
from .mixture_same_family import MixtureSameFamily
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .power_law import Pareto, Weibull
from .relaxed import OneHotCategoricalStraightThrough, RelaxedBernoulli, RelaxedOneHotCategorical
from .transformed_distribution import LogisticNormal, LogNormal, TransformedDistribution
from .transforms import *
from .uniform import Uniform
from .von_mises import VonMises

# PyTorch has a module for each distribution: `from gradgpu.distributions.multinomial import Multinomial`.
for _home, _names in {
    counts: "poisson geometric binomial negative_binomial multinomial",
    dirichlet: "beta kumaraswamy",
    gamma: "chi2 inverse_gamma fishersnedecor",
    location_scale: "cauchy gumbel studentT half_normal half_cauchy",
    matrices: "lkj_cholesky lowrank_multivariate_normal wishart",
    power_law: "weibull pareto",
    relaxed: "relaxed_bernoulli relaxed_categorical",
    transformed_distribution: "log_normal logistic_normal",
}.items():
    for _name in _names.split():
        _sys.modules.setdefault(f"{__name__}.{_name}", _home)
        globals()[_name] = _home

__all__ = [
    "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Chi2", "ContinuousBernoulli", "Dirichlet", "Distribution",
    "Exponential", "ExponentialFamily", "FisherSnedecor", "Gamma", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal",
    "Independent", "InverseGamma", "Kumaraswamy", "LKJCholesky", "Laplace", "LogNormal", "LogisticNormal",
    "LowRankMultivariateNormal", "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal",
    "OneHotCategorical", "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "RelaxedBernoulli",
    "RelaxedOneHotCategorical", "StudentT", "TransformedDistribution", "Uniform", "VonMises", "Weibull", "Wishart",
    "biject_to", "constraints", "kl_divergence", "register_kl", "transform_to",
]  # fmt: skip
__all__ += transforms.__all__
