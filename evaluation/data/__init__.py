"""How images get in: any image-classification data set as uint8 arrays. Start with `source`, then `loading`.

columns        columns of images and labels, and the classes
depth          pictures of more than 8 bits a pixel: one scale for all
description    what the images of a data set are like: sizes, classes, detail
facts          which splits there are, and how many images of each class, as work keeps it
folders        what a folder that a user names is: splits, classes, tables, files
image_file     a file of images, written once and mapped into memory
images         labelled images, as rows of an array or a file
kept_images    the folder of these files, found again by later runs
loading        a data set's images at the size that a network takes
pictures       one picture as pixels: upright, RGB, square
published      the splits of a data set as they were published
rules          the rules by which pictures become images and splits
source         a data set that is opened once, and described
wording        what becomes of pictures, in words
"""
