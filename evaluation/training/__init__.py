"""Training of one network for deployment, and the files that come of it.

allocator  memory that stays with the process: training allocates and frees the same large tensors at every step
config     what the training of one network is made of
folder     paths of the folder of a training; making one, and reading what is in one
job        what training one network needs and gives, free of folders: it runs in this process or on any worker
loop       training one network for deployment
run        A whole training: inputs checked before anything is written, checkpoints, and what is handed over at the end
"""
