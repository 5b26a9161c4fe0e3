"""Keep pytest's search for doctests out of the module that needs a run to be imported."""

collect_ignore = ["feast_objects.py"]
