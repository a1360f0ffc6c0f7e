"""The outer loop with workers that only take time, so that what is left is its own work.

stand_ins   workers that take a known time for each trial and do nothing else
efficiency  searches with stand-ins, and how busy these were
"""
