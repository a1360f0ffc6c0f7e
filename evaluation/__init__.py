"""What a network is worth: data and accuracy. Start with `splits`.

accelerators    the GPU of a process: which, how much of it, how exactly
accuracy        accuracy of sub-networks with recalibrated BatchNorm
augmentation    what is done at random to training images
batches         batches of images, augmented and balanced
data            how images get in: any image-classification data set as uint8 arrays
dataset_origin  which images long work was made from
deployed_model  ONNX files as they are handed over, with notes in their metadata
early_exits     what early exits of a trained network are worth
errors          error of images, or of classes, alike
export          a trained network as checked ONNX files, fp32 and int8
litert_files    LiteRT files beside the ONNX files of networks
pixel_figures   what has to be known of all pixels of the splits
pretrained      networks with weights that others have trained, to be fine-tuned
reading_ahead   one thing read while the one before it is worked with
splits          four disjoint seeded splits
training        one network trained for deployment: schedule, augmentation, averaged weights
work_folder     a folder that long work writes into, and is resumed from
"""
