"""Early exits.

streaming      streamed latency against the sum over ways, and what segments cost against one file
"""
