"""Networks of a run compared.

drawn             architectures that the theta of a trial gives
chance            intervals of shares, and tests whether two networks differ
errors            errors as they are told, beside that of guessing
representatives   the points of a front that can be told apart
choices           three points of a front to choose from
networks          what pictures of a front show: its networks, the others, baselines
thinning          which of very many points a picture draws
alternatives      the run's choice beside what one would use otherwise, and the verdict
comparison        baselines against the front
rank_correlation  Kendall's tau with its interval
recipes           which trained networks compare with each other
selection         one network of a front: the most accurate within limits, or the knee
transfer          what networks chosen for one board lose on another
adaptive_selection  the same for a front with early exits
objectives        how many objectives a front really trades
contributions     what each source of candidates added to a search
near_front        networks on the front and near it, which may get early exits
adaptation        what early exits and configurations gain
"""
