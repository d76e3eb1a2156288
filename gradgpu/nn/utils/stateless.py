"""Under its old name: a module called with other parameters, `gradgpu.func.functional_call`."""

from ...func import functional_call

__all__ = ["functional_call"]
