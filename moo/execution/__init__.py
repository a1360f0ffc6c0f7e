"""Where trials run. Ray is imported nowhere else.

backend      the `Backend` and `Trainer` protocols, and trials in this process (start here)
evaluator    runs one trial: supernet and splits, held once
pretraining  trains a run's supernet, epoch by epoch
ray_pool     Ray started once, and a pool of actors that outlives those that die
ray_backend  trials under Ray
ray_trainer  networks trained under Ray
"""
