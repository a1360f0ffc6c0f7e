"""Early exits and the nested search over them.

segments       segments one after another against the same network in one file
streaming      streamed latency against the sum over ways through a network
"""
