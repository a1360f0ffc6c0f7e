"""The networks of a finished run, trained for deployment.

config        settings of `train_front` and `compare_baselines`
finished_run  a run that has ended, opened again
plan          which networks are trained, from which weights
baselines     published networks, trained and measured alike
fine_tuning   fine-tunes a pre-trained one in this process
job           the whole job (start here)
training      trains, exports, checks and measures
outputs       files, cards, curves
"""
