"""The allocator keeps what training frees."""

import subprocess
import sys

import pytest

from leadwise.config import PROJECT_ROOT

TOUCH_LARGE_BLOCKS = """
import ctypes, resource, sys
sys.path.insert(0, sys.argv[1])
from leadwise.memory import keep_freed_memory
if sys.argv[2] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
for _ in range(50):
    block = libc.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def page_faults(mode: str) -> int:
    command = [sys.executable, "-c", TOUCH_LARGE_BLOCKS, str(PROJECT_ROOT / "src"), mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is on Linux only")
def test_freed_blocks_are_not_cleared_again_by_the_kernel() -> None:
    assert page_faults("keep") < 0.2 * page_faults("give back")
