"""Early exits and the nested search over them.

segments       segments one after another against the same network in one file
"""
