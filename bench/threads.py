"""OpenMP's threads: how they wait, which must be decided before torch is loaded, and their end."""

import ctypes
import os
import sys

_OF_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_SPINS = "5000"
_PAUSE_SOFT = 1  # of OpenMP 5.0's omp_pause_resource_all


def spin_briefly(device: str) -> bool:
    """Let idle threads of this process and its children sleep soon; return whether that was set.

    Threads that spin take the processor from others when the machine is shared; threads that sleep
    at once (``OMP_WAIT_POLICY=PASSIVE``) lose a tenth of the speed when it is not. What is best
    depends on the machine. Training of ``rd_convnext`` on two cores (`bench.perf.waiting`) took
    7.4 s by default, 7.7 s with this number of spins and 8.2 s with none; next to one busy process
    15.3, 18.9 and 18.6 s. On another machine, next to a busy process, the default took 1.6 times as
    long as sleeping threads. A few spins are near the best of both. A user's setting is kept, and
    so is the default on CUDA, where the processor hardly computes.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if device.partition(":")[0] != "cpu" or "torch" in sys.modules:
        return False
    if any(name in os.environ for name in _OF_THE_USER):
        return False
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    return True


def end_team() -> bool:
    """End the threads that compute with the calling thread; return whether that is supported.

    Each thread that computes gets its own ones, which wait for more until it ends. While there are
    more threads than cores, the GNU library lets all of them sleep after a few spins, so those of
    the main thread wake up late: the fit of FastFlow, the last of ten cases, took 1.44 times as
    long as alone (`bench.perf.position`, two cores). The next computation of the calling thread
    starts new ones.
    """
    try:
        pause = ctypes.CDLL(None).omp_pause_resource_all
    except (AttributeError, OSError, TypeError):
        return False  # another OpenMP library, or one that is not loaded
    return bool(pause(_PAUSE_SOFT) == 0)
