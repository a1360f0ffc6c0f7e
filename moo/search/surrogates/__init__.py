"""What a search proposes once it has evaluated some networks, without the supernet.

task     the surrogate of a run, and what generations on it evaluate (start here)
source   these proposed when they are asked for, or beside the evaluations before them
answers  which network coefficients give, by what a run has evaluated
"""
