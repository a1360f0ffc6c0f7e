"""Early exits and the nested search over them.

inner_search  time of the inner search, what it misses, and what exits and configurations add (start here)
runs          a run whose networks have exits, made by the commands that users give
networks      networks with their outcomes and costs: of a run, or drawn
segments      segments one after another against the same network in one file
streaming     streamed latency against the sum over ways through a network
"""
