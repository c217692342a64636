"""Recognition of errors that say that memory ran out."""

import re

import torch

_SAYS_SO = re.compile("can(not|'t) allocate memory|not enough memory|out of memory", re.IGNORECASE)
"""What RuntimeErrors of torch's allocator on the CPU, of mmap and of the CUDA runtime say."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it replaced, says that memory ran out.

    It does so of the device and of the host. Ending a recording that ran out of memory raises an
    error of its own.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("Error(s) in loading state_dict"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and _SAYS_SO.search(str(error)):
        return True
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return before is not None and is_out_of_memory(before)
