"""A process that meets a full disk, as the operating system makes one: by a limit on file sizes."""

import resource
import signal
import sys


def limit_file_size(size: int) -> None:
    """Make this process fail to write beyond `size` bytes of any file, halfway, as on a full disk.

    It writes no bytecode from then on: Python does not notice that a `.pyc` is torn, and every
    later process that imports the module would end in an EOFError.
    """
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def lift_limit() -> None:
    """Let files grow again."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
