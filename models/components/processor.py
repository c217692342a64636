"""What Linux says about the CPU."""

import re
from functools import cache
from pathlib import Path


@cache
def cpu_info() -> str:
    """Return what Linux says about every core, as text; empty on other systems."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def is_intel() -> bool:
    """Return whether the CPU is Intel's; false where Linux does not say."""
    return re.search(r"^vendor_id\s*:\s*GenuineIntel$", cpu_info(), re.M) is not None
