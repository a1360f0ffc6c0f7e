"""The outer loop: from a data set and a board to a measured Pareto front. Start at `moo.search.loop`.

config         settings of a search
limits         what a network may cost at most
workers        how many there are, and what of a machine each has
trials         what the outer loop tries, and the results
events         what happens in a run, for whoever watches
event_log      the same as lines of a file
formatting     numbers with unit and source, Markdown tables
profiling      profiles of boards as files
algorithms     what to try next, by ask and tell
bayesian       which architectures are worth paying for
execution      where trials run: in this process, or under Ray
storage        what was found: archive, store, run folder
measurement    the boards of a run
analysis       networks compared
visualization  pictures, TensorBoard
report         report.md, report.html, card.md
search         the job itself
deployment     networks of a finished run, trained
adaptation     early exits for them, under a nested search
sharing        a front as a repository on a hub of models
page           runs started, watched and explored in a browser
"""
