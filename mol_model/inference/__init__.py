"""MOL on anybody's video: the one room of the model that may call the pipeline's kernels.

requirements   is the preparation part installed?
video          a film or a folder of frames -> windows of aligned clips, as a build does
mapping        estimates in the crop -> pixels of the source frames
estimate       windows through the network
overlay        drawn on the source frames, as a film
document       what was found, as JSON
page           one HTML page for all videos
predict        all of it, one video after the other
"""
