"""The statistics page: what the server counts, in a memory file that others may read.

Promises that reading costs the server nothing and that a number is never seen half written.
Must never know what a broker, a socket or Prometheus is: it maps names to words.
"""

from logserver.statistics.histogram import Histogram
from logserver.statistics.layout import METRICS, Metric
from logserver.statistics.page import PageError, PageReader, PageWriter
from logserver.statistics.partitions import PartitionFigures, PartitionsReader, PartitionsWriter
from logserver.statistics.runtime import RuntimeDirectory
from logserver.statistics.series import Series, SeriesWriter, read_series

__all__ = [
    "METRICS",
    "Histogram",
    "Metric",
    "PageError",
    "PageReader",
    "PageWriter",
    "PartitionFigures",
    "PartitionsReader",
    "PartitionsWriter",
    "RuntimeDirectory",
    "Series",
    "SeriesWriter",
    "read_series",
]
