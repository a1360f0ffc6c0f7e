"""Searches on several machines, for which nodes of one machine stand.

two_nodes   how the trials of a search are shared with a node that has not got the project
ray_nodes   Ray nodes, each a process with a Python of its own
"""
