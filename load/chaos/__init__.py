"""The chaos run: payments at a steady rate, processes and servers killed, and what came of it judged."""
