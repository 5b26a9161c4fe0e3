"""Do the feature log and the online store say what the raw events say?"""
