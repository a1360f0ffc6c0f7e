"""What a GPU makes of the project's work, in pieces of at most ten minutes: `python benchmarks/gpu/measure.py`.

measure      which pieces, printed as text or JSON
calibration  copies, launches, and depthwise convolutions of each shape, type and layout
kernels      steps, timed: images a second, time of kernels, launches, waits and memory
stepping     weight and theta steps at several batch sizes, in fp32 and bf16
whole        evaluations, a front with given weights, the training of one network, and whether results repeat
"""
