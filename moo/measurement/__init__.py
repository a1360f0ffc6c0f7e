"""The boards of a run, and what they measure.

boards  what `--device` stands for
queue   networks that wait for a board, in turns with the search or beside it (start here)
front   measures the front, and corrects the cost table by the networks measured
"""
