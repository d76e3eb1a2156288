"""Under its old name: a module called with other parameters, `gradgpu.func.functional_call`."""

from ...func import _reparametrize_module, functional_call  # noqa: F401  (packages import the first from here)

__all__ = ["functional_call"]
