"""How images get in: any image-classification data set as uint8 arrays. Start with `source`.

columns    columns of images and labels, and the classes
images     images and labels as arrays
pictures   pictures as pixels of one size
published  the splits of a data set as they were published
source     `load_images`
"""
