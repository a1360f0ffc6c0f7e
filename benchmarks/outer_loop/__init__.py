"""The outer loop with workers that only take time, so that what is left is its own work.

growth          a script: what a run costs as it grows to thousands of architectures
waiting         a script: how long workers wait for a generation on the surrogate
synthetic_runs  run folders of any number of evaluated architectures, made up
stand_ins       workers that take a known time for each trial and do nothing else
efficiency      searches with stand-ins, and how busy these were
"""
