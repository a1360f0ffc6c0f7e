"""The search: from checked settings to a measured front.

loop         the whole job (start here)
images       the images of a search, as its config.json has them
preparation  everything that a run needs, checked before anything is written
space_choice space and size of images where the user names none
forecast     how long a search of a space would take, before one is chosen
artifacts    what trials start from: cost table, supernet
proposals    what is tried next, by method
surrogates   what it proposes once it has evaluated some networks, and what coefficients give by these
coefficient_search  one tuple of coefficients, searched on the supernet of a run
generational, asynchronous  trials in generations, or as workers get free
trial_runner what these two share: trials run, kept, told of
outputs      front.json and front/<id>/
drawing      pictures and report, while a search goes on
estimate     how long a run takes to its end
gauges       figures of a search for dashboards
clock        the time that a search may take
transfer        what a search takes over from a finished run
"""
