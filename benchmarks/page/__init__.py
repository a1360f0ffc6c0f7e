"""The page beside a search.

at_rest  a script: what the page's server takes of a core while a search goes on
"""
