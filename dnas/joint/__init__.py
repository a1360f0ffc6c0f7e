"""Several inner searches in one forward of the supernet, whose frozen weights they share. Start with `search`.

For GPUs, which one search keeps busy with launches alone; on a CPU it gains little or is slower.

search        searches theta for several sets of coefficients together
mixture       the forward: relaxed mixtures of several searches, each of its own images
convolutions  convolutions with frozen weights, differentiable in what each search mixes
"""
