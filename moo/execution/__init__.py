"""Where trials run. Ray is imported nowhere else.

backend      the `Backend` and `Trainer` protocols, and trials in this process (start here)
machinery    death of what runs jobs, told apart from failures of jobs
evaluator    runs one trial: supernet and splits, held once
groups       trials that a worker searches together, and outcomes of each
operating_points  the best that a network can do with early exits, by what a trial looks for
pretraining  trains a run's supernet, epoch by epoch
cluster_address  whether a Ray cluster answers at an address, asked before anything else
ray_start    what a Ray of this machine is started with: cores, memory, a folder, a token
ray_session  Ray started or joined once, and whether it is still there
ray_images   files of images, sent to machines that lack them
nodes        nodes of a cluster that can do jobs: the project goes to all, and each says what it lacks
gauges       figures of a run for Prometheus and Grafana
titles       what Ray's dashboard calls jobs
ray_pool     a pool of actors that outlives those that die, and jobs that outlive both
ray_backend  trials under Ray
ray_ranks    pre-training of which several workers do their shares of each step
ray_trainer  networks trained under Ray
news              what workers do meanwhile, and how far inner searches are
collector         keeps what workers under Ray tell meanwhile, within bounds
running_searches  how far inner searches under Ray are, as far as it comes
"""
