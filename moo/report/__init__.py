"""The report of a run, and the card of each network.

report      report.md (start here)
networks    its sections on networks: the front, files, baselines, trust in the supernet
baselines   its section on what one would use otherwise
adaptive    its section on early exits
conditions  its sections on the run: board, cost, hypervolume, splits
html        report.html: one page that fetches nothing
explore     explore.html: the Front page as one file
explored    what it shows: all points of a run
choices     the answer: three networks to choose from
snippets    Python that runs a network on a board
card        card.md: what somebody needs who deploys a network
adaptive_card
            card.md of a network with early exits
transfer    the section on the run that a run started from
selected    what is said of a point that is chosen on the command line
selected_adaptive  the same of a point with early exits
"""
