"""What to try next, by ask and tell. Knows neither the run's settings nor its archive.

genomes             the genomes of the outer loop: log10 alpha, beta, log10 gamma, delta within bounds; or an operator a
nsga2               NSGA-II over a genome, by ask and tell, for whole generations or for one individual at a time
surrogate_assisted  many coefficient tuples on a surrogate of accuracy, and the choice of the architectures that are wor
"""
