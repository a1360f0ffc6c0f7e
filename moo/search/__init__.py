"""The search itself (start at `loop`).

artifacts    what all inner searches of a run start from: cost table and supernet
clock        the time that a search may take, over interruptions
loop         the whole job: cost table, pre-training, NSGA-II over coefficients, measuring, the front
outputs      what a run hands over: front.json, and a folder with files for each network of the front
preparation  everything that a run needs, checked before anything is written
proposals    what a search tries next: the project's own method and its rivals, under one interface
"""
