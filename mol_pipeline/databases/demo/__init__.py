"""Small SYNTHETIC databases in the layout of real ones: photographs moved by a program.

They let everybody run the whole way through, by the very adapters that real
releases go through. No number made from them says anything about a real database.
"""

from mol_pipeline.databases.demo.truth import Truth, read_truth, true_flow
from mol_pipeline.databases.demo.write import DemoSummary, write_demo

__all__ = ["DemoSummary", "Truth", "read_truth", "true_flow", "write_demo"]
