"""Entry points: parse, build, call one function, write.

pareto_search  the main job
profile_device the cost table of a board
setup_board    a board made ready to measure
describe       a space or an architecture, with exact counts
train_architecture one network trained for deployment
train_front    every network of a run's front trained for deployment
adapt_front    early exits for the trained networks of a front
compare_baselines published networks trained and measured like a front
try_coefficients which networks a tuple of coefficients gives
sample_architectures further architectures from the theta of a trial
export_litert  LiteRT files beside the ONNX files of networks
push_front     a front as a repository on the Hugging Face hub
select_network one point of a front: the most accurate within limits, or the knee
pareto_page    runs started, watched and explored in a browser
interface      what all scripts share: options, help, progress, tables, endings
"""
