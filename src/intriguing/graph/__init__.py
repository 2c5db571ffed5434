"""A network as a graph of operations, and all that is known about each of them.

`tracing` makes the graph and makes sure that it is the network, `execution` runs it, `table` is
asked for what an operation is, and `operations` has a rule for each of torch's.
"""

from intriguing.graph import operations as operations
