"""A container's health: the worker answers on its metrics port. Standard library only."""

import os
import urllib.request

url = f"http://127.0.0.1:{os.environ['HEADRACE_METRICS_PORT']}/metrics"
with urllib.request.urlopen(url, timeout=2) as answer:
    answer.read(1)
