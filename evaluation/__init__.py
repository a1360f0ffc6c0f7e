"""What a network is worth: data and accuracy.

image_data  any image-classification data set as uint8 arrays
splits      four disjoint seeded splits, and augmented batches of them
accuracy    accuracy of sub-networks with recalibrated BatchNorm
"""
