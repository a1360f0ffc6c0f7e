"""Claims about the project, each measured in one run by a script: `python benchmarks/NAME.py --help`.

Scripts:

rivals         the project's method against its rivals at equal wall time
nas_bench_201  the whole search where the true front is known
front_cost     a front from one shared supernet against one supernet for each trial
supernet       speed, memory and use of the default supernet against FBNet's as published
scaling        how well the outer loop keeps its workers busy
training       training throughput against the loop one would write first
kernels        image layout and the quick depthwise gradient, as ratios
cost_tables    how well cost tables predict, and what it is worth that they were measured
configurations
               how well one profile and ten networks each predict all configurations of a board
meters         the energy of a constant load through each meter's pipeline
built_in_boards
               the laws of the built-in boards `pi4` and `pi5` fitted anew, and their configurations compared
emulated_boards
               what docs/boards.md tells to type, on six Raspberry Pis under emulation
early_exits    early exits: their nested search, segments against one file, and streams against ways
adaptive       what early exits gain on a run's networks, and how far what was expected is true
clusters       a search on two nodes, of which one has not got the project
data           pre-training on images larger than memory, on a mapped file
gpu            what a GPU makes of steps, evaluations, a front and a training
litert         LiteRT files: time to write them, and their speed beside ONNX files
page           what the page takes beside a search, and how soon it shows a front
safety         what becomes of a run whose files are damaged

What they share:

options        options that every benchmark has, how they are read, and bounds
turns          fair timing: sides in turns, in processes of their own
results        text, JSON, files and curves of results
progress       progress bars
noise          random images, for timing
drawn_board    boards drawn at random, whose operators scale differently
training_ways  ways to train a network that `training` times
searches       whole searches with the same inputs
first_hour     what somebody gets who comes with a folder of photos
resuming       work that is killed and goes on
outer_loop     the outer loop with workers that only take time; `growth.py`: what a run costs as it grows
supernets      supernets of different forms; `rank.py`: how far a supernet's ranking can be trusted
tabular        NAS-Bench-201 as a table, and methods that search it
"""
