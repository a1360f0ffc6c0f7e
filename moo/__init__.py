"""The outer loop: from a data set and a board to a measured Pareto front.

algorithms
analysis
config          what a run is made of, and the checks on it
deployment
events          what happens in a run, for whoever looks on
execution
formatting      numbers as people read them: three digits, units, and where they come from
markdown        tables and lists in Markdown
measurement
profile_config  profiles of boards as files, and their picture
profiling       profiles of one or several boards at once, as files: cost tables and their pictures
report          report.md
search          the whole job (start here)
storage
trials          what the outer loop has done for it, free of Ray: jobs, their outcomes, and where they run
visualization
"""
