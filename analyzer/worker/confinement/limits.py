"""Resource limits: address space, file size, and no core dumps."""

from __future__ import annotations

from analyzer.worker.confinement.rules import NotEnforcedError


def set_limits(address_space: int, file_size: int) -> None:
    """Set the limits for good, in bytes; 0 leaves a limit as it is, and a stricter one that holds already stays."""
    try:
        import resource
    except ImportError:
        raise NotEnforcedError("no resource limits on this system") from None
    asked = {resource.RLIMIT_CORE: 0}
    if address_space:
        asked[resource.RLIMIT_AS] = address_space
    if file_size:
        asked[resource.RLIMIT_FSIZE] = file_size
    for kind, size in asked.items():
        held = resource.getrlimit(kind)[1]
        limit = size if held == resource.RLIM_INFINITY else min(size, held)
        resource.setrlimit(kind, (limit, limit))
