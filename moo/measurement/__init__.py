"""Boards of a run, and the networks that they measure.

boards  what a run's `--device` stands for: boards that measure, or a table of costs that somebody else measured
front   measures the networks of a run's front, keeps what came of it, and corrects the cost table by it
queue   measures networks on boards: in turns with the search where a board shares this machine's cores, else beside it
"""
