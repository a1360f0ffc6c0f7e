"""Claims about the project, each measured in one run by a script: `python benchmarks/NAME.py --help`.

rivals               the project's method against its rivals at equal wall time
nas_bench_201        the whole search where the true front is known
nas_bench_201_table  its table: accuracies that are counted, costs that are free
front_cost           a front from one shared supernet against one supernet for each trial
supernet             speed, memory and use of the default supernet against FBNet's as published
supernet_turns       what it measures: steps in turns, and training for equal time
supernet_rank        how far a supernet's ranking can be trusted
scaling              how well the outer loop keeps its workers busy
scaling_workers      workers that take a known time for each trial and do nothing else
training             training throughput against the loop that one writes first
kernels              image layout and the quick depthwise gradient, as ratios
cost_table           how well cost tables predict networks that they were not made from
few_shot             how well ten measured networks adapt another board's table
pi4_model            the built-in Pi 4's operator model on shapes that it never saw
timed_batches        batches for so much time instead of so many passes
"""
