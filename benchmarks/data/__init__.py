"""Data sets larger than memory: what they cost. Start with `larger_than_memory`.

larger_than_memory  pre-training on a mapped file within a limit of memory, against images in memory
memory_limits       limits of memory, and how much of its own a process has
"""
