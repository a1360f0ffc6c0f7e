"""What somebody gets who comes with a folder of photos.

photos     draws photos of seven kinds of fasteners: a small data set with known classes
time_left  how good the time left is that a run told
enlarged   writes a data set as JPEG files in one folder a class, enlarged
trial      the default search on data sets, against always answering the commonest class
"""
