"""What to try next, by ask and tell. Knows neither the settings of a run nor its archive.

base                the `Algorithm` protocol and what it proposes (start here)
genomes             what NSGA-II evolves: coefficients, architectures
nsga2               NSGA-II by ask and tell, a generation or one individual at a time
random_and_grid     two rivals that learn nothing
spread              architectures from the cheapest to the most costly
surrogate_assisted  NSGA-II over coefficients on a surrogate of accuracy, beside a local search
policies            NSGA-II over choices that are judged in batches, in memory
"""
