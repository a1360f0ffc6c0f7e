"""Training of one network for deployment, and the files it gives. Start with `run`.

allocator        keeps freed memory in the process, for the next training step to reuse
config           what the training of one network is made of
fine_tuning      trains a pre-trained network: its last layer, then all of it
fine_tuning_run  what this needs for its folder
folder           paths of a training's folder; making one, and reading its content
job              what training one network needs and gives, free of folders: runs here or on any worker
logistic_regression  the best linear classifier of features that stay as they are
loop             trains one network, epoch by epoch
mixing           what is done at random to whole batches of training images: cutout and mixup
objectives       what a training minimises, records, and is judged by
origin           what a training was made from
recipe           how one network is trained where the user does not say so
run              a whole training: inputs checked first, then checkpoints, then the finished files
"""
