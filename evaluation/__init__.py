"""What a network is worth: data and accuracy.

image_data  any image-classification data set as uint8 arrays
splits      four disjoint seeded splits, and augmented batches of them
accuracy    accuracy of sub-networks with recalibrated BatchNorm
training    one network trained for deployment: schedule, augmentation, averaged weights
work_folder  a folder that long work writes into, and is resumed from
train_config, train_folder, train_run  such a training: its settings, its folder, the whole of it
"""
