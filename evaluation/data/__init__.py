"""How images get in: any image-classification data set as uint8 arrays. Start with `source`, then `loading`.

columns      columns of images and labels, and the classes
description  what the images of a data set are like: sizes, classes, detail
images       images and labels as arrays
loading      a data set's images at the size that a network takes
pictures     one picture as pixels: upright, RGB, square
published    the splits of a data set as they were published
rules        the rules by which pictures become images and splits
source       a data set that is opened once, and described
wording      what becomes of pictures, in words
"""
