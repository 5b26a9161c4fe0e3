"""New projects: folders that begin as a template, or are guessed from somebody's file of records."""
