"""Whether work that is killed at any instant and resumed ends as if it had not been.

comparison  whether two folders of work hold the same results
"""
