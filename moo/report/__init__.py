"""The report of a run, and the card of each network.

card        card.md: all that someone needs who deploys one network
conditions  sections of the report on how a run went: board and conditions, cost, hypervolume, splits
html        the report as one self-contained web page: no script, nothing that a browser would fetch
networks    sections of the report on networks: the front, its trained files, baselines beside it, trust in the supernet
report      the report of a run as Markdown: what was asked, what came out, under which conditions, and how to do it aga
"""
