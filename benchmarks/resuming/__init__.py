"""Whether work that is killed at any instant and resumed ends as if it had not been.

kills       the real commands, killed at random (start here)
chains      a command begun, killed, resumed, killed again and compared
commands    the commands and their stages
processes   a command as a process, and how it is killed
replayed    a script with this machine as a board whose figures can be repeated
comparison  whether two folders of work hold the same results
"""
