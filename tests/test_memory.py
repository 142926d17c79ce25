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
for _ in range(10):
    blocks = [libc.malloc(2**26) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 2**26)
    for block in blocks:
        libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


AFTER_TRAINING = """
import sys
sys.path.insert(0, sys.argv[1])
from leadwise.memory import keep_freed_memory
keep_freed_memory()
import keras, numpy as np
from leadwise.training.fit import run_epochs
class Batches(keras.utils.PyDataset):
    epoch = 0
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return np.zeros((8, 3)), np.zeros((8, 4))
network = keras.Sequential([keras.layers.Dense(4)])
network.compile("adam", "mse")
run_epochs(network, Batches(), 1, [])
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
exec(sys.argv[3])
print(-before)
"""


def page_faults(mode: str, script: str = TOUCH_LARGE_BLOCKS) -> int:
    """Page faults while eight blocks of 64 MiB are taken, written and freed, ten times."""
    command = [sys.executable, "-c", script, str(PROJECT_ROOT / "src"), mode, TOUCH_LARGE_BLOCKS]
    return sum(map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is on Linux only")
def test_training_keeps_freed_memory_whatever_tensorflow_sets() -> None:
    assert page_faults("train", AFTER_TRAINING) < 0.2 * page_faults("give back")
