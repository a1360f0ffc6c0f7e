"""What a network is worth: data and accuracy.

image_data  any image-classification data set as uint8 arrays
splits      four disjoint seeded splits, and augmented batches of them
accuracy    accuracy of sub-networks with recalibrated BatchNorm
training    one network trained for deployment: schedule, augmentation, averaged weights
work_folder  a folder that long work writes into, and is resumed from
export      a trained network as checked ONNX files, fp32 and int8
train_job   such a training without folders, on any worker
train_config, train_folder, train_run  its settings, its folder, the whole of it
"""
