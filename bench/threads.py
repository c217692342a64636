"""How OpenMP's threads wait, which must be decided before torch is loaded."""

import os
import sys

_OF_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively(device: str) -> bool:
    """Let idle threads of this process and its children sleep; return whether that was set.

    By default they spin for a while, which takes the processor from others when the machine is
    shared: next to one busy process on two cores, a training takes 2.8 times as long as alone, and
    1.8 times with sleeping threads, which cost at most 5 % when the machine is idle. What a user
    set stays, and so does the default on CUDA, where the processor hardly computes.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if device.partition(":")[0] != "cpu" or "torch" in sys.modules:
        return False
    if any(name in os.environ for name in _OF_THE_USER):
        return False
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    return True
