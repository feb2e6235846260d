"""How the results of a call lie in memory: what the meta kernels get wrong."""
