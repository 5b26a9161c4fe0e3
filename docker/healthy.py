"""A container's health: every part of the worker has moved lately. Standard library only."""

import os
import sys
import urllib.error
import urllib.request

url = f"http://127.0.0.1:{os.environ['HEADRACE_METRICS_PORT']}/health"
try:
    with urllib.request.urlopen(url, timeout=2) as answer:
        sys.stdout.write(answer.read(65536).decode())
except urllib.error.HTTPError as error:
    sys.exit(error.read(65536).decode())
except OSError as error:
    sys.exit(f"no answer at {url}: {error}")
