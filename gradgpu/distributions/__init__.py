"""Probability distributions, by PyTorch's names: parameters in, samples and log-probabilities out.

`sample` draws without a gradient; `rsample`, where there is one, is differentiable with respect to the parameters
(Kingma & Welling, "Auto-encoding variational Bayes", 2014). Arguments are checked unless `validate_args=False`;
on cuda each check waits for the device.

>>> import gradgpu as gg
>>> policy = gg.distributions.Categorical(logits=gg.zeros(4))
>>> policy.log_prob(policy.sample()).exp()
tensor(0.2500)
"""

from . import constraints
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import Distribution
from .exponential import Exponential
from .independent import Independent
from .kl import kl_divergence, register_kl
from .laplace import Laplace
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .uniform import Uniform

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Exponential",
    "Independent",
    "Laplace",
    "Normal",
    "OneHotCategorical",
    "Uniform",
    "constraints",
    "kl_divergence",
    "register_kl",
]
