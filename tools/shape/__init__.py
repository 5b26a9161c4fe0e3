"""How large and how entangled the code is, as figures that are kept with the commit."""
