"""One file a subcommand; the file's name is the command's (`rebuild_store.py` is `rebuild-store`)."""
