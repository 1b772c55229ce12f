import os

os.environ["ARCHLAB_CACHE"] = "off"  # nothing of a test is kept, nor answers one
