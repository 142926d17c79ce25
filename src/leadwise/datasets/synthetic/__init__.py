"""A simulated PTB-XL: a physics toy to try the whole chain on; it stands for no patient."""

from leadwise.datasets.synthetic.recording import simulate_record
from leadwise.datasets.synthetic.tree import write_simulated_tree

__all__ = ["simulate_record", "write_simulated_tree"]
