"""Networks of a run compared.

comparison        baselines against a run's front: what the front has within the latency of each one
networks          what pictures of a front show: its networks, the other evaluated ones, and baselines
rank_correlation  kendall's tau with a confidence interval: how well one ranking of networks foretells another
recipes           how trained networks were trained: errors compare only between networks of one recipe
selection         choosing one network of a run's front: the most accurate within limits, or the knee
"""
