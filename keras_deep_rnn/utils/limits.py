"""Upper bounds of what a file of a user may make the package make.

They are far above real data, and low enough that a file which is refused never took 500 MB: sizes
that a file declares are compared with them before anything of that size exists.
"""

# A piano-roll has 88 bytes per frame: 1.8 GB in all, 50 times the largest published data set.
# While a file is read they are kept as bits, an eighth of that.
MAX_FRAMES = 20_000_000
MAX_PIECES = 200_000
# Of a text. Its tokens take four bytes each.
MAX_CHARACTERS = 1_000_000_000
# Memory for the objects of a pickle, by a count that is a fifth too high. The largest published
# data set, with a NumPy scalar for each note, counts for 390 MB.
MAX_PICKLE_BYTES = 500_000_000
# Of JSON, which takes up to thirty times its size as objects of Python.
MAX_JSON_BYTES = 8_000_000
# Of the directory of a zip file (.npz, .keras), with about 60 bytes for each member.
MAX_ZIP_DIRECTORY_BYTES = 8_000_000
# What a model file may make if it is larger than twice the file, which holds each weight.
MAX_UNSTORED_BYTES = 100_000_000
