"""How much one request may hold. Beyond it, the answer is a 413 that names the limit."""

LARGEST_BODY = 64 * 2**20
"""Bytes of a body; of a Parquet table also its content unpacked. 10 min of 12 leads at 2,000 Hz in base64 are 38 MB."""
MOST_RECORDS = 1024
MOST_VALUES = 4_000_000
"""Numbers and other values written out in JSON or as lists in Parquet: 10 min of 12 leads at 500 Hz are 3.6 million."""
MOST_LISTS = 400_000
"""Lists and objects in JSON; an empty one takes 25 times as many bytes in memory as in the body."""
MOST_EXPLAINED = 8
"""Records of a request that asks for explanations: each 10 s cost a thousand windows of a network, 1 to 2 s of work."""
LONGEST_EXPLAINED_S = 30.0
