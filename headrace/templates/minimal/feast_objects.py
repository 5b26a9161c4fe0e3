"""What Feast's commands find here: every object that this folder's declarations come to, each once."""

from headrace.feast import objects

globals().update(objects(__file__))
