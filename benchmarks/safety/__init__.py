"""What becomes of a run whose files are damaged.

damage      a script: every file of small runs damaged in many ways, and how the commands that read it answer
small_runs  the runs, as small as they can be, and what the commands do with them, in this process
"""
