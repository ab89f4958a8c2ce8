"""The project's tests; the folders mirror the packages."""

import os

# OpenBLAS reads it when NumPy is first imported, which `conftest` does; processes inherit it. Its threads wait for each
# other by keeping processors busy: where tests keep them busy too, that took over ten times as long as one thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
