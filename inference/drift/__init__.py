"""Drift: what has changed in inputs, null values, scores, decisions and errors, how far, and since when.

Two families, judged on one sample of rows. River's detectors watch the mean of single values for a change
against what they saw before; windows hold the distribution of the last day of event time against the
baseline that training stored with the model. Both take the hour and the weekend out of what they see: what
is usual for a night is compared with nights.
"""
