"""Bayesian optimisation over architectures: errors are paid for, costs are free. Knows neither runs nor coefficients.

inputs        what the process knows of an architecture besides its operators
process       a Gaussian process over errors
improvement   the hypervolume that an evaluation is expected to add, exactly
neighbours    architectures near to given ones
search        the candidates that are worth paying for (start here)
"""
