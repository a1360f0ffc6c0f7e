"""Networks of a finished run, trained for deployment.

baselines     what people would use otherwise: published networks, trained and measured like a run's front
config        what training a run's front, or baselines beside it, is made of
finished_run  A run that has ended, opened again: its settings, images and archive
outputs       what a run hands over once networks were trained: their files in front/<id>/, cards, curves, and front.jso
plan          the networks of a run that are to be trained for deployment: those of its front, with the run's images and
training      trains networks of a run for deployment, checks and measures their files, and keeps what came of it
"""
