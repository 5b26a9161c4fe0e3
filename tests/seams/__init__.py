"""Every place where Python, a library or an event loop calls code of a worker, found in the code itself."""
