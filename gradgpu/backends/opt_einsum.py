"""opt_einsum is not used: `einsum` contracts two operands at a time, from the left."""

enabled = False
strategy = None


def is_available() -> bool:
    """False: gradgpu does not use opt_einsum."""
    return False
