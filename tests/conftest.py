import os

os.environ["ARCHLAB_CACHE"] = "off"  # nothing of a test is kept, nor answers one
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and torch's threads would wait for cores
