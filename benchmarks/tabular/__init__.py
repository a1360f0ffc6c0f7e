"""A search space whose architectures are all known, searched by methods that pay for each look-up.

inputs   what is known of an architecture without its accuracy
table    accuracies that are counted, costs that are free, hypervolume
methods  the project's search, its rivals and an oracle
tpe      one more rival, of Optuna
"""
