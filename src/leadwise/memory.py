"""What glibc's allocator does with freed memory: keep it for the next batch, or give it back to the kernel."""

import ctypes

# Names and numbers of malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT_BYTES = 2**31 - 1
TOP_PAD_BYTES = 2**28
LARGE_BYTES, SPARE_BYTES = 2**20, 2**22


def keep_freed_memory() -> bool:
    """Tell glibc's allocator not to return memory between batches; whether it took that.

    A training step frees and takes again hundreds of megabytes. By default glibc hands the larger blocks back and the
    kernel clears every page anew: on two cores half of the processor time of a training went into page faults (1.1
    million in an epoch of 480 records of the fusion network, 27,000 with these settings). On Python 3.11 TensorFlow
    sets the threshold back when its first generator dataset is made, as Keras' ``fit`` does
    (``tensorflow::data::ApplyPython311MemoryPatch`` in TensorFlow 2.21): call it again after the first batch.
    """
    return _set((M_MMAP_THRESHOLD, KEPT_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_TOP_PAD, TOP_PAD_BYTES))


def return_freed_memory() -> bool:
    """Tell glibc's allocator to return what is large as soon as it is freed; whether it took that.

    By default it takes blocks of up to 32 MiB from heaps as soon as one has been freed, and a heap shrinks from its
    end only: a server that has answered large requests kept half as much memory again (mallopt(3), M_MMAP_THRESHOLD).
    """
    return _set((M_MMAP_THRESHOLD, LARGE_BYTES), (M_TRIM_THRESHOLD, SPARE_BYTES))


def _set(*settings: tuple[int, int]) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    taken = [mallopt is not None and mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
